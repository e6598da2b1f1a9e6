"""Files of sequences read one record after the other, bad ones among them: lists, FASTA, tables."""

import csv
import gzip
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lobster.sequences.files import SequenceFileError
from lobster.sequences.modality import letters_of

_TABLES = {".csv": ",", ".tsv": "\t"}
_OTHERS = {";": "semicolons", "\t": "tabs", ",": "commas"}  # what separates columns instead


@dataclass(frozen=True)
class Record:
    """A sequence in a file.

    Attributes:
        number: Of a list its line, of FASTA its record, of a table its row, counted from 1.
        name: What stands beside it: the rest of a list's line, the header of FASTA.
        text: As the file has it; of FASTA with its header.
    """

    number: int
    name: str
    text: str

    @property
    def sequence(self) -> str:
        """The text in one line, without a header."""
        return letters_of(self.text) if self.text.startswith(">") else self.text


def read_records(file: str | Path, column: str | None = None) -> Iterator[Record]:
    """Yield every sequence of a file, whatever is wrong with it, in flat memory.

    Args:
        file: CSV (``.csv``, ``.tsv``), parquet, FASTA, or one sequence a line (the first word counts); plain or, but for
            parquet, gzipped (``.gz``).
        column: The column of a table; one that has a single column needs none.

    Raises:
        FileNotFoundError: There is no such file.
        SequenceFileError: It is not what its ending says, has no such column, or is no table and a column is named.
    """
    path = Path(file)
    ending = Path(path.stem if path.suffix == ".gz" else path.name).suffix.lower()
    if not path.is_file():
        what = (
            "does not exist" if not path.exists() else f"is {'a folder' if path.is_dir() else 'a stream'}, not a file"
        )
        raise FileNotFoundError(f"{file} {what}")
    if ending == ".parquet":
        yield from _parquet(path, column)
        return
    if ending not in _TABLES and column is not None:
        raise SequenceFileError(
            f"{file} is no table and has no columns: leave {column!r} out, or name a csv or parquet"
        )
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as stream:
            if "\0" in (head := stream.read(4096)):
                raise SequenceFileError(f"{file} is not text: expected a list, FASTA, csv, tsv or parquet")
            stream.seek(0)
            if ending in _TABLES:
                yield from _table(stream, path, column, _TABLES[ending])
            elif head.lstrip().startswith((">", ";")):
                yield from _fasta(stream)
            else:
                yield from _list(stream)
    except (gzip.BadGzipFile, zlib.error, EOFError, csv.Error) as error:
        raise SequenceFileError(f"{file} is damaged: {error}") from error


def _list(lines: Iterator[str]) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        words = line.split(maxsplit=1)
        yield Record(number, words[1].strip() if words[1:] else "", words[0] if words else "")


def _fasta(lines: Iterator[str]) -> Iterator[Record]:
    number, header, letters = 0, "", list[str]()
    for line in map(str.strip, lines):
        if line.startswith(">") or (line.startswith(";") and not number):  # as headers once began
            if number:
                yield _fasta_record(number, header, letters)
            number, header, letters = number + 1, line[1:].strip(), []
        elif not line.startswith(";"):
            letters.append(line)
    yield _fasta_record(number, header, letters)


def _fasta_record(number: int, header: str, lines: Sequence[str]) -> Record:
    letters = "\n".join(lines).upper()
    return Record(number, header, f">\n{letters}" if letters.strip() else "")


def _table(stream: Any, file: Path, column: str | None, delimiter: str) -> Iterator[Record]:
    csv.field_size_limit(sys.maxsize)  # a gene may have more letters than the 131,072 that are usual
    rows = csv.reader(stream, delimiter=delimiter)
    header = next(rows, [])
    if len(header) == 1 and column not in header:
        for mark, name in _OTHERS.items():
            if mark in header[0] and mark != delimiter:
                raise SequenceFileError(
                    f"{file}: its columns are separated by {name}: expected commas, or tabs in a .tsv"
                )
    place = _place(file, header, column)
    for number, row in enumerate(rows, 1):
        yield Record(number, "", row[place] if place < len(row) else "")


def _parquet(file: Path, column: str | None) -> Iterator[Record]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(file) as table:
            names = table.schema_arrow.names
            name, number = names[_place(file, names, column)], 0
            for batch in table.iter_batches(1024, columns=[name]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield Record(number, "", "" if value is None else str(value))
    except ArrowException as error:
        raise SequenceFileError(f"{file} is no parquet file, or is damaged: {error}") from error


def _place(file: Path, columns: Sequence[str], column: str | None) -> int:
    """Return where a column of a table is."""
    if column is None and len(columns) == 1:
        return 0
    if column in columns:
        return columns.index(column)
    what = "say which of its columns holds sequences" if column is None else f"it has no column {column!r}"
    raise SequenceFileError(f"{file}: {what}; expected one of {', '.join(columns) or 'its columns, and it has none'}")
