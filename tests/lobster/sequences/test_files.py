"""Reading files of sequences."""

import gzip
from pathlib import Path

import pytest

from lobster.sequences import SequenceFileError, read_sequences


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
        (">a\n>b\nMKT\n>c\n", ["MKT"]),
        ("\n>a\nMKT", ["MKT"]),
    ],
)
@pytest.mark.parametrize("suffix", [".txt", ".fasta.gz"])
def test_fasta_and_lines_are_read_plain_and_gzipped(tmp_path: Path, text: str, sequences: list[str], suffix: str):
    file = tmp_path / f"corpus{suffix}"
    file.write_bytes(gzip.compress(text.encode()) if suffix.endswith(".gz") else text.encode())
    assert read_sequences(file) == sequences
    assert read_sequences(str(file)) == sequences


@pytest.mark.parametrize("text", ["", "\n \n\r\n", ">only\n>headers\n"])
def test_file_without_sequences_is_named(tmp_path: Path, text: str):
    (tmp_path / "empty.txt").write_text(text)
    with pytest.raises(SequenceFileError, match=r"empty\.txt holds no sequences"):
        read_sequences(tmp_path / "empty.txt")


GZIPPED = gzip.compress(b"".join(b"C" * (n % 50) + b"O\n" for n in range(500)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("random.txt", bytes(range(256)) * 4),
        ("gzip.txt", GZIPPED),
        ("plain.gz", b"CCO\n"),
        ("cut.gz", GZIPPED[: len(GZIPPED) // 2]),
        ("damaged.gz", GZIPPED[:12] + bytes(range(255, 155, -1)) + GZIPPED[112:]),
        ("binary.gz", gzip.compress(bytes(range(256)))),
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
