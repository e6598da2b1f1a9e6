"""Reading files of sequences."""

import gzip
from pathlib import Path

import pytest

from lobster.sequences import SequenceFileError, read_sequences
from lobster.sequences.files import check_not_read, read_protein


@pytest.mark.parametrize(
    ("text", "sequences"),
    [
        ("CCO\nc1ccccc1\n", ["CCO", "c1ccccc1"]),
        ("CCO", ["CCO"]),
        ("\n  CCO \n\n\nCC\n\n", ["CCO", "CC"]),
        ("CCO ethanol\nCC\tethane\n", ["CCO", "CC"]),
        ("CCO\r\nCC\r\n", ["CCO", "CC"]),
        (">a b\nMKT\nVRQ\n>c\nGG\n", ["MKTVRQ", "GG"]),
        (">a\r\nMKT\r\n\r\nVRQ\r\n", ["MKTVRQ"]),
        ("\n>a\nMKT", ["MKT"]),
        ("\ufeff>a\r\nMKT\r\n", ["MKT"]),
        ("\ufeffCCO\r\nCC\r\n", ["CCO", "CC"]),
        (">a\n;a comment\nMKT\n;another\nVRQ\n", ["MKTVRQ"]),
        ("; of the file\n>a\nMKT\n>b\nVRQ\n", ["MKT", "VRQ"]),
        (";a\n;b\nMKT\nVRQ*\n;c\nGG\n*\n", ["MKTVRQ", "GG"]),  # as FASTA once was
        (">a\nMKTVRQ*\n>b\nGG\n*\n", ["MKTVRQ", "GG"]),
        (">a\nmktVRQ\n>b\nacgu\n", ["MKTVRQ", "ACGU"]),
        (">a\n  1 MKTVRQ ERLK 10\n 11 GG\n", ["MKTVRQERLKGG"]),
        (">a\nMK?-T\n", ["MK?-T"]),  # whether that is a protein says who reads it
        (">a\rMKT\r>b\rGG\r", ["MKT", "GG"]),
    ],
)
@pytest.mark.parametrize("suffix", [".txt", ".fasta.gz"])
def test_fasta_and_lines_are_read_plain_and_gzipped(tmp_path: Path, text: str, sequences: list[str], suffix: str):
    file = tmp_path / f"corpus{suffix}"
    file.write_bytes(gzip.compress(text.encode()) if suffix.endswith(".gz") else text.encode())
    assert read_sequences(file) == sequences
    assert read_sequences(str(file)) == sequences


@pytest.mark.parametrize("text", ["", "\n \n\r\n", "\ufeff", ";only\n;comments\n"])
def test_file_without_sequences_is_named(tmp_path: Path, text: str):
    (tmp_path / "empty.txt").write_text(text)
    with pytest.raises(SequenceFileError, match=r"empty\.txt holds no sequences"):
        read_sequences(tmp_path / "empty.txt")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (">a\n>b\nMKT\n", "line 1: the record has no letters"),
        (">a\nMKT\n\n>b\n;nothing\n", "line 4: the record has no letters"),
        (">only\n>headers\n", "line 1: the record has no letters"),
        (">a\nMKT*\nVRQ\n", r"line 3: there is more of the sequence after the '\*'"),
        ("CCO\n>a\nMKT\n", "line 2: a FASTA header, but line 1 before it is not FASTA"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(tmp_path: Path, text: str, problem: str):
    (tmp_path / "broken.fasta").write_text(text)
    with pytest.raises(SequenceFileError, match=rf"broken\.fasta, {problem}"):
        read_sequences(tmp_path / "broken.fasta")


GZIPPED = gzip.compress(b"".join(b"C" * (n % 50) + b"O\n" for n in range(500)), mtime=0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("random.txt", bytes(range(256)) * 4),
        ("gzip.txt", GZIPPED),
        ("plain.gz", b"CCO\n"),
        ("cut.gz", GZIPPED[: len(GZIPPED) // 2]),
        ("damaged.gz", GZIPPED[:12] + bytes(range(255, 155, -1)) + GZIPPED[112:]),
        ("binary.gz", gzip.compress(bytes(range(256)), mtime=0)),
    ],
)
def test_binary_rubbish_is_named(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SequenceFileError, match=name):
        read_sequences(tmp_path / name)


@pytest.mark.parametrize("name", ["absent.txt", "absent.fasta.gz"])
def test_missing_file_is_named(tmp_path: Path, name: str):
    with pytest.raises(FileNotFoundError, match=name):
        read_sequences(tmp_path / name)


def test_what_is_read_is_not_written_over(tmp_path):
    file = tmp_path / "some.fasta"
    file.write_text(">a\nMKT\n")
    (tmp_path / "link").symlink_to(file)
    check_not_read(tmp_path / "new.fasta", "MKT", file)
    with pytest.raises(ValueError, match="link is what is read: name another output"):
        check_not_read(tmp_path / "link", "MKT", file)


def test_a_protein_is_a_file_of_one_or_residues(tmp_path):
    file = tmp_path / "some.fasta"
    file.write_text(">a\nmkt\n")
    assert read_protein(str(file)) == read_protein("MKT") == "MKT"
    file.write_text(">a\nMKT\n>b\nMKV\n")
    with pytest.raises(SequenceFileError, match="holds 2 sequences: expected the one protein that is meant"):
        read_protein(str(file))
    for typo in ("protein", "nosuch.fasta", "NO/SUCH", ""):
        with pytest.raises(FileNotFoundError, match="is no file, and no residues in capitals either"):
            read_protein(typo)
