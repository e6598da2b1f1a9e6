"""Other programs that say what a sequence is worth: a command, or a server."""

import csv
import json
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from lobster.constants import Modality
from lobster.workers.pool import RefusedError

_ONE = ("{smiles}", "{sequence}")
_FILES = ("{input}", "{output}")
_NAMES = ("sequence", "smiles", "SMILES")  # columns by which the rows of a table are known


@dataclass(frozen=True)
class Command:
    """A program that is run for each sequence and prints a number, or for many and writes a table.

    No shell is involved: the command is split into words first, and a sequence is put into its word whole, whatever is in it.

    Attributes:
        command: With ``{smiles}`` or ``{sequence}``, where the sequence belongs: the last line that the program prints is
            the value. Or with ``{input}``, a file of sequences, one a line, and ``{output}``, the CSV that the program
            writes: a row for each sequence, in their order or, where there is a column ``sequence`` or ``smiles``, in any.
        column: The column of values in that table.

    >>> Command("expr length {smiles}")("CCO")
    3.0
    """

    processes: ClassVar[bool] = True
    command: str
    column: str = "value"

    def __post_init__(self) -> None:
        if not (isinstance(self.command, str) and isinstance(self.column, str)):
            raise ValueError(f"command is {self.command!r}, column {self.column!r}: expected text")
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise ValueError(f"command {self.command!r} cannot be split into words: {error}") from error
        used = {place for place in (*_ONE, *_FILES) if place in self.command}
        if used != set(_FILES) and (len(used) != 1 or not used & set(_ONE)):
            raise ValueError(
                f"command is {self.command!r}: expected {{smiles}} or {{sequence}}, or {{input}} and {{output}}"
            )
        if not words or shutil.which(words[0]) is None:
            raise ValueError(f"command {self.command!r}: there is no program {words[0] if words else ''!r}")

    @property
    def batch(self) -> bool:
        """Whether it takes many sequences at once."""
        return _FILES[0] in self.command

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What it is for."""
        return (Modality.SMILES,) if _ONE[0] in self.command else tuple(Modality)

    def __call__(self, asked: Any) -> Any:
        """Return the value of a sequence or, where it takes many, of each of a list of them, or why there is none.

        Raises:
            ValueError: It wrote no table, or not one as expected.
            RuntimeError: It ended with a status other than 0.
        """
        if not self.batch:
            lines = self._run(dict.fromkeys(_ONE, asked)).split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "")
            return _number(last)
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / "sequences.txt", Path(folder) / "values.csv"]
            paths[0].write_text("".join(f"{sequence}\n" for sequence in asked))
            self._run(dict(zip(_FILES, map(str, paths), strict=True)))
            if not paths[1].is_file():
                raise ValueError("it wrote no {output}")
            with paths[1].open(newline="") as file:
                return self._column(list(csv.DictReader(file)), asked)

    def _run(self, places: dict[str, str]) -> str:
        words = shlex.split(self.command)
        for place, content in places.items():
            words = [word.replace(place, content) for word in words]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).split("\n")[-1]
            raise RuntimeError(f"{words[0]} ended with status {done.returncode}: {said:.200}")
        return done.stdout

    def _column(self, rows: list[dict[str, str]], sequences: Sequence[str]) -> list[float | Exception]:
        if rows and self.column not in rows[0]:
            raise ValueError(f"its table has no column {self.column!r} but {', '.join(map(str, rows[0]))}")
        if rows and (name := next((name for name in _NAMES if name in rows[0]), None)):
            found = {row[name]: row[self.column] for row in rows}
            return [_number(found[s]) if s in found else ValueError("it is not in the table") for s in sequences]
        if len(rows) != len(sequences):
            raise ValueError(
                f"its table has {len(rows)} rows for {len(sequences)} sequences: expected one for each, or a column 'sequence'"
            )
        return [_number(row[self.column]) for row in rows]


@dataclass(frozen=True)
class Url:
    """A server that is sent ``{"sequences": ["CCO", …]}`` by POST and answers ``{"values": [0.5, …]}``.

    A value may be null, of which ``"errors": [null, "no conformer", …]``, if it is there, says why. A status of 4xx other
    than 408 and 429 is a refusal: the same is not asked again.

    Attributes:
        url: Where to.
    """

    batch: ClassVar[bool] = True
    modalities: ClassVar[tuple[Modality, ...]] = tuple(Modality)
    processes: ClassVar[bool] = True
    url: str

    def __post_init__(self) -> None:
        if not (isinstance(self.url, str) and urlsplit(self.url).scheme in ("http", "https")):
            raise ValueError(f"url is {self.url!r}, expected http://… or https://…")

    def __call__(self, sequences: Sequence[str]) -> list[float | Exception]:
        """Return the value of each sequence, or why it has none.

        Raises:
            ConnectionError: The server cannot be reached.
            RuntimeError: It failed.
            RefusedError: It does not take the sequences.
            ValueError: Its answer is not as expected.
        """
        answer = self._post({"sequences": list(sequences)})
        values = answer.get("values") if isinstance(answer, dict) else None
        if not isinstance(values, list):
            raise ValueError(f"{self.url} answered {answer!r:.100}, expected {{'values': [...]}}")
        errors = answer.get("errors") or [None] * len(values)
        if not isinstance(errors, list) or len(errors) != len(values):
            raise ValueError(
                f"{self.url} answered {len(values)} values and the errors {errors!r:.60}: expected as many"
            )
        return [ValueError(error or "no value") if v is None else v for v, error in zip(values, errors, strict=True)]

    def _post(self, content: Any) -> Any:
        import urllib.error  # each worker process reads this module; few need these
        import urllib.request
        from http.client import HTTPException

        data, header = json.dumps(content).encode(), {"Content-Type": "application/json"}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url, data, header)) as response:
                body = response.read()
        except urllib.error.HTTPError as error:
            said = f"{self.url} answered {error.code}: {error.read().decode(errors='replace'):.200}"
            refused = 400 <= error.code < 500 and error.code not in (408, 429)
            raise (RefusedError if refused else RuntimeError)(said) from error
        except urllib.error.URLError as error:
            raise ConnectionError(f"{self.url} cannot be reached: {error.reason}") from error
        except (HTTPException, ConnectionError) as error:
            raise ConnectionError(f"{self.url} broke off its answer: {error}") from error
        try:
            return json.loads(body)
        except ValueError as error:
            raise ValueError(f"{self.url} answered {body[:60]!r}, which is no JSON") from error


def _number(text: str | None) -> float | Exception:
    """Return the number that a text is, or why it is none."""
    try:
        return float(text or "")
    except ValueError:
        return ValueError(f"{text!r:.60} is no number")
