"""Files of sequences read record by record."""

import gzip
import os

import pandas as pd
import pytest

from lobster.sequences import SequenceFileError
from lobster.sequences.records import read_records


def write(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


def test_every_line_of_a_list_is_a_record(tmp_path):
    records = list(read_records(write(tmp_path, "some.smi", "CCO  ethanol, absolute\r\n\nC1CC\n")))
    assert [(r.number, r.name, r.text) for r in records] == [
        (1, "ethanol, absolute", "CCO"),
        (2, "", ""),
        (3, "", "C1CC"),
    ]


def test_every_record_of_fasta_is_one(tmp_path):
    text = ">one first\nMKT\nvrq*\n;a comment\n>empty\n>two\nACGT\n"
    records = list(read_records(write(tmp_path, "some.fasta", text)))
    assert [(r.number, r.name, r.sequence) for r in records] == [
        (1, "one first", "MKTVRQ*"),
        (2, "empty", ""),
        (3, "two", "ACGT"),
    ]


@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "table.parquet"])
def test_a_column_of_a_table_is_chosen_by_name(tmp_path, name):
    frame = pd.DataFrame({"id": [1, 2, 3], "smiles": ["CCO", None, "C,C"]})
    if name.endswith("parquet"):
        frame.to_parquet(tmp_path / name)
    else:
        frame.to_csv(tmp_path / name, index=False, sep="\t" if name.endswith("tsv") else ",")
    assert [r.text for r in read_records(tmp_path / name, "smiles")] == ["CCO", "", "C,C"]
    with pytest.raises(SequenceFileError, match="say which of its columns holds sequences; expected one of id, smiles"):
        list(read_records(tmp_path / name))
    with pytest.raises(SequenceFileError, match="no column 'sequence'; expected one of id, smiles"):
        list(read_records(tmp_path / name, "sequence"))


def test_a_single_column_needs_no_name_and_long_cells_are_read(tmp_path):
    with gzip.open(tmp_path / "genes.csv.gz", "wt") as stream:
        stream.write("gene\n" + "ACGT" * 50_000 + "\n")
    [record] = read_records(tmp_path / "genes.csv.gz")
    assert len(record.text) == 200_000


def test_what_is_no_such_file_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        list(read_records("nowhere"))
    with pytest.raises(FileNotFoundError, match="is a folder"):
        list(read_records(tmp_path))
    (tmp_path / "binary").write_bytes(b"\0" * 10)
    with pytest.raises(SequenceFileError, match="is not text"):
        list(read_records(tmp_path / "binary"))
    for name in ("some.parquet", "some.smi.gz"):
        with pytest.raises(SequenceFileError, match=f"{name} is .*damaged"):
            list(read_records(write(tmp_path, name, "CCO\n")))
    with pytest.raises(SequenceFileError, match="is no table and has no columns"):
        list(read_records(write(tmp_path, "list.smi", "CCO\n"), "smiles"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "id;smiles\n1;CCO\n", "semicolons"),
        ("a.csv", "id\tsmiles\n", "tabs"),
        ("a.tsv", "id,smiles\n", "commas"),
    ],
)
@pytest.mark.parametrize("column", [None, "smiles"])
def test_a_table_with_another_separator_is_refused(tmp_path, name, text, said, column):
    with pytest.raises(
        SequenceFileError, match=f"{name}: its columns are separated by {said}: expected commas, or tabs"
    ):
        list(read_records(write(tmp_path, name, text), column))


def test_what_is_damaged_in_the_middle_or_a_stream_is_said(tmp_path):
    file = tmp_path / "some.smi.gz"
    whole = bytearray(gzip.compress("\n".join(f"{'C' * n}O" for n in range(1, 200)).encode()))
    whole[len(whole) // 2 :] = b"\xff" * (len(whole) - len(whole) // 2)
    file.write_bytes(whole)
    with pytest.raises(SequenceFileError, match=r"some\.smi\.gz is damaged"):
        list(read_records(file))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match="pipe is a stream, not a file"):
        list(read_records(tmp_path / "pipe"))
