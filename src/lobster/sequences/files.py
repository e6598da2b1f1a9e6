"""Files of sequences."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class SequenceFileError(ValueError):
    """A file of sequences cannot be used."""


def read_sequences(file: str | Path) -> list[str]:
    """Read a FASTA file, or one sequence a line (the first word counts), plain or gzipped.

    Raises:
        SequenceFileError: The file holds no sequence or is not text.
        FileNotFoundError: There is no such file.
    """
    opener: Any = gzip.open if str(file).endswith(".gz") else open
    try:
        with opener(file, "rt") as lines:
            sequences = list(_sequences(lines))
    except (UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise SequenceFileError(f"{file} is not a text file, plain or gzipped: {error}") from error
    if not sequences:
        raise SequenceFileError(f"{file} holds no sequences: expected FASTA, or one sequence a line")
    return sequences


def _sequences(lines: Iterator[str]) -> Iterator[str]:
    """Tell FASTA by its first character."""
    record: list[str] | None = None
    for line in map(str.strip, lines):
        if line.startswith(">"):
            if record:
                yield "".join(record)
            record = []
        elif not line:
            continue
        elif record is None:
            yield line.split()[0]
        else:
            record.append(line)
    if record:
        yield "".join(record)
