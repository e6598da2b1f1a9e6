"""Files of sequences."""

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lobster.constants import Modality
from lobster.sequences.modality import letters_of, normal_form


class SequenceFileError(ValueError):
    """A file of sequences cannot be used."""


def check_not_read(output: str | Path, *files: str | Path) -> None:
    """Check that what is written does not go over what is read.

    Raises:
        ValueError: It would.
    """
    for file in files:
        if os.path.exists(file) and os.path.exists(output) and os.path.samefile(file, output):
            raise ValueError(f"{output} is what is read: name another output")


def read_protein(text: str) -> str:
    """Return a protein: that of a file, or residues in capitals.

    Raises:
        FileNotFoundError: It is neither.
        SequenceFileError: The file holds several.

    >>> read_protein("MKT")
    'MKT'
    >>> read_protein("protein.fasta")
    Traceback (most recent call last):
    FileNotFoundError: 'protein.fasta' is no file, and no residues in capitals either
    """
    if not os.path.isfile(text):
        if not (text.isalpha() and text.isupper()):
            raise FileNotFoundError(f"{text!r:.60} is no file, and no residues in capitals either")
        return text
    found = read_sequences(text)
    if len(found) > 1:
        raise SequenceFileError(f"{text} holds {len(found):,} sequences: expected the one protein that is meant")
    return found[0]


def as_line(text: str) -> str:
    """Return what a model wrote as a line that is read as a reward reads the text: letters without blanks between them.

    What has blanks and is no letters is nothing; so that its first word is not taken for it, they are made visible.

    >>> as_line("M K T"), as_line("c1ccccc1 C"), as_line(" CCO ")
    ('MKT', 'c1ccccc1␣C', 'CCO')
    """
    words = text.split()
    if len(words) < 2:
        return "".join(words)
    letters = (normal_form(text, modality) for modality in (Modality.AMINO_ACID, Modality.NUCLEOTIDE))
    return next(filter(None, letters), "␣".join(words))


def read_sequences(file: str | Path, blank: bool = False) -> list[str]:
    """Read a FASTA file, or one sequence a line (the first word counts), plain or gzipped.

    Of FASTA, which begins with ``>`` (or ``;``, as it once did), come the letters in upper case, without blanks,
    numbers and the ``*`` that may end a protein; lines that begin with ``;`` are comments. Of a list come the words as
    they are spelled. Whether a letter is one of its modality says who reads the sequence
    (`lobster.sequences.normal_form`).

    Args:
        file: The file.
        blank: Whether blank lines of a list are sequences, too: empty ones, as a model writes them.

    Raises:
        SequenceFileError: The file holds no sequence or is not text; or a record has no letters, goes on after its
            ``*`` or stands in a list, and the message has the line's number.
        FileNotFoundError: There is no such file.
    """
    opener: Any = gzip.open if str(file).endswith(".gz") else open
    try:
        with opener(file, "rt", encoding="utf-8-sig") as stream:
            lines = [(n, line.strip()) for n, line in enumerate(stream, 1)]
    except (UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise SequenceFileError(f"{file} is not a text file, plain or gzipped: {error}") from error
    try:
        filled = [(n, line) for n, line in lines if line]
        fasta = filled and filled[0][1].startswith((">", ";"))
        sequences = list(_records(filled) if fasta else _words(lines if blank else filled))
    except ValueError as error:
        raise SequenceFileError(f"{file}, {error}") from error
    if not any(sequences):
        raise SequenceFileError(f"{file} holds no sequences: expected FASTA, or one sequence a line")
    return sequences


def _words(lines: list[tuple[int, str]]) -> Iterator[str]:
    for number, line in lines:
        if line.startswith(">"):
            raise ValueError(f"line {number}: a FASTA header, but line {lines[0][0]} before it is not FASTA")
        yield line.split()[0] if line else line


def _records(lines: list[tuple[int, str]]) -> Iterator[str]:
    header, letters = 0, list[str]()  # the line that the record began in, 0 where none did
    for number, line in [*lines, (0, ">")]:
        if line.startswith(">") or (letters and line.startswith(";") and lines[0][1].startswith(";")):
            if header and not letters:
                raise ValueError(f"line {header}: the record has no letters")
            if letters:
                yield "".join(letters).removesuffix("*").upper()
            header, letters = number, []
        elif not line.startswith(";"):
            new = letters_of(line)
            if letters and letters[-1].endswith("*"):
                raise ValueError(f"line {number}: there is more of the sequence after the '*' that ends it")
            letters.append(new)
