"""Files of sequences in, tables of scores out: in flat memory, flushed as they come, gone on with after an interruption."""

import csv
import ctypes
import hashlib
import io
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from lobster.constants import Modality
from lobster.scoring.completions import Outcome, Scored
from lobster.scoring.components import PSEUDO_LIKELIHOOD
from lobster.scoring.scorer import Scorer
from lobster.sequences.chemistry import parse_smiles
from lobster.sequences.files import check_not_read
from lobster.sequences.records import Record, read_records

FORMATS = (".csv", ".parquet", ".jsonl")
_CHUNK = 64  # sequences that are scored together, then written
_TEXTS = ("name", "sequence", "outcome", "modality", "normal_form")


def score_file(
    scorer: Scorer,
    file: str | Path,
    output: str | Path,
    column: str | None = None,
    modality: Modality | str | None = None,
    explain: bool = False,
    overwrite: bool = False,
    about: Mapping[str, Any] | None = None,
) -> Counter[str]:
    """Score every sequence of a file, one row each, in the file's order.

    What is scored is written at once. After an interruption, however it came, the same call goes on where it ended: what it has to
    know is in a file beside ``output``, which ends in ``.progress`` and is gone when all is done.

    Args:
        scorer: What scores.
        file: As `read_records` reads it.
        output: The table, ``.csv``, ``.parquet`` or ``.jsonl``. A row has the record's number, name and sequence; its outcome,
            ``scored`` or the reason why not; its modality and normal form; its score, its pseudo-likelihood and the value of each
            component.
        column: The column of a table.
        modality: What all of them are; by default each what it looks like.
        explain: Whether a row has, too, the sequence's tokens and the log-probability of each, given the rest, in nats.
        overwrite: Whether ``output`` may exist.
        about: What the scorer was made of, for a table that was begun with another not to be gone on with; files in it are known by
            what they hold.

    Returns:
        How many sequences had which outcome, of those that this call has scored.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be read, the output's ending is unknown, it is the file itself, or was begun otherwise.
        FileExistsError: The output exists.
        RuntimeError: The encoder or a component failed on every sequence of several calls in a row.
        KeyboardInterrupt: Ctrl-C; the message says how far it came.
    """
    settings = {name: _identified(value) for name, value in (about or {}).items()} | {
        "file": _identified(str(Path(file).resolve())),
        "column": column,
        "modality": str(modality) if modality else None,
        "explain": explain,
    }
    check_not_read(output, file)
    total = sum(1 for _ in read_records(file, column))
    outcomes: Counter[str] = Counter()
    with _Table(Path(output), _columns(scorer, explain), settings, overwrite) as table:
        records = islice(read_records(file, column), table.rows, None)
        bar = tqdm(total=total, initial=table.rows, unit=" sequences", dynamic_ncols=True)
        try:
            while chunk := list(islice(records, _CHUNK)):
                scored = scorer.score([record.text for record in chunk], modality)
                table.append(list(_rows(scorer, chunk, scored, explain)))
                outcomes.update(item.outcome.value for item in scored)
                bar.update(len(chunk))
                _return_memory()
        except KeyboardInterrupt as interruption:
            raise KeyboardInterrupt(
                f"stopped after {table.rows:,} of {total:,} sequences: the same command goes on from there"
            ) from interruption
        finally:
            bar.close()
        table.finish()
    return outcomes


def _identified(value: Any) -> Any:
    """Return a value; of a file its name with the beginning of its sha256."""
    if not isinstance(value, str) or not os.path.isfile(value):  # which takes any text
        return value
    with Path(value).open("rb") as stream:
        return f"{value} (sha256 {hashlib.file_digest(stream, 'sha256').hexdigest():.8})"


def _return_memory() -> None:
    """Give the system back what a chunk took: glibc keeps what is freed, which was 600 MB after 20,000 molecules.

    Molecules that RDKit has read, 17 kB each, would lie between it. Where there is no glibc the rest is left as it is.
    """
    parse_smiles.cache_clear()
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _columns(scorer: Scorer, explain: bool) -> list[str]:
    names = ["record", *_TEXTS, "score", PSEUDO_LIKELIHOOD]
    for component in scorer.scoring.components:
        names += [component.name] if component.name != PSEUDO_LIKELIHOOD else []
        names += [f"{component.name}/score"] if component.transform else []
    return names + (["tokens", "log_probabilities"] if explain else [])


def _rows(scorer: Scorer, records: list[Record], scored: list[Scored], explain: bool) -> Iterator[dict[str, Any]]:
    """Yield what the table says of each sequence; figures only of those that were scored."""
    tokens = _log_probabilities(scorer, scored) if explain else {}
    for record, item in zip(records, scored, strict=True):
        row: dict[str, Any] = {
            "record": record.number,
            "name": record.name,
            "sequence": record.sequence,
            "outcome": item.outcome.value,
            "modality": item.modality.value if item.modality else None,
            "normal_form": item.sequence or None,
        }
        if item.outcome is Outcome.SCORED:
            row |= {"score": item.score, PSEUDO_LIKELIHOOD: item.pseudo_likelihood} | item.values
            row |= {f"{name}/score": part for name, part in item.parts.items()}
        if item.molecule in tokens:
            row["tokens"], row["log_probabilities"] = tokens[item.molecule]
        yield row


def _log_probabilities(scorer: Scorer, scored: list[Scored]) -> dict[Any, tuple[list[str], list[float]]]:
    """Return the tokens of each molecule, and their log-probabilities."""
    found = {}
    for modality in scorer.encoder.modalities:
        sequences = list(dict.fromkeys(item.sequence for item in scored if item.molecule and item.modality is modality))
        if not sequences:
            continue
        log_p = scorer.encoder.token_log_probabilities(
            sequences, modality, scorer.batch_size, errors="null", long_sequences=scorer.long_sequences
        )
        for sequence, own, row in zip(sequences, scorer.encoder.tokens(sequences, modality), log_p, strict=True):
            if len(own) == len(row):
                found[modality, sequence] = own, [round(float(value), 5) for value in row]
    return found


class _Table:
    """A table that grows by rows, of which none is lost or doubled however its writing ends.

    Rows go to the output itself or, of parquet, which cannot grow, to a file of JSON lines beside it; then how many rows and bytes
    there are goes to the file ``.progress``. What stands behind those bytes is cut off when it is gone on with.

    Attributes:
        rows: How many are written.
    """

    def __init__(self, output: Path, columns: list[str], about: dict[str, Any], overwrite: bool):
        if output.suffix not in FORMATS:
            raise ValueError(f"output {str(output)!r}: expected one that ends in {', '.join(FORMATS)}")
        if not output.parent.is_dir():
            raise FileNotFoundError(f"output {str(output)!r}: there is no folder {str(output.parent)!r}")
        self.output, self.columns, self.about = output, columns, about
        self.growing = output.with_name(f"{output.name}.jsonl") if output.suffix == ".parquet" else output
        self.progress = output.with_name(f"{output.name}.progress")
        if overwrite:
            for old in (self.progress, output, self.growing):
                old.unlink(missing_ok=True)
        self.rows, self.bytes = self._found()

    def _found(self) -> tuple[int, int]:
        """Return how many rows and bytes there are to go on from."""
        if not self.progress.is_file():
            if self.output.exists():
                raise FileExistsError(f"{self.output} exists: name another output, or overwrite it (--overwrite)")
            return 0, 0
        try:
            state = json.loads(self.progress.read_text())
            then, rows, written = state["about"], int(state["rows"]), int(state["bytes"])
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self.progress} is damaged: name another output, or begin anew (--overwrite)") from error
        if changed := [f"{name} {then.get(name)} → {now}" for name, now in self.about.items() if then.get(name) != now]:
            raise ValueError(
                f"{self.output} was begun with other settings ({', '.join(changed)}): go on with those, name another output, or "
                "overwrite it (--overwrite)"
            )
        if written > (self.growing.stat().st_size if self.growing.is_file() else 0):
            raise ValueError(f"{self.growing} is shorter than {self.progress} says: overwrite it (--overwrite)")
        return rows, written

    def __enter__(self) -> "_Table":
        self._note()  # first, so that a table which was just begun is known for one
        self._stream = self.growing.open("r+b" if self.growing.exists() else "w+b")
        self._stream.truncate(self.bytes)
        self._stream.seek(self.bytes)
        if not self.bytes and self.growing.suffix == ".csv":
            self._write(_csv([self.columns]))
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows."""
        filled = [{name: _plain(row.get(name)) for name in self.columns} for row in rows]
        if self.growing.suffix == ".csv":
            self._write(_csv([_text(value) for value in row.values()] for row in filled))
        else:
            self._write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in filled))
        self.rows += len(rows)
        self._note()

    def _write(self, text: str) -> None:
        self._stream.write(text.encode())
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.bytes = self._stream.tell()

    def _note(self) -> None:
        new = self.progress.with_name(f"{self.progress.name}.new")
        new.write_text(json.dumps({"rows": self.rows, "bytes": self.bytes, "about": self.about}))
        new.replace(self.progress)

    def finish(self) -> None:
        """Leave the table alone, in its format."""
        if self.output.suffix == ".parquet":
            _to_parquet(self.growing, self.output, self.columns)
            self.growing.unlink()
        self.progress.unlink()


def _plain(value: Any) -> Any:
    """Return a value with six digits, None where it is no number."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _text(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def _csv(rows: Any) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def _to_parquet(lines: Path, output: Path, columns: list[str]) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    kinds = {"record": pa.int64(), "tokens": pa.list_(pa.string()), "log_probabilities": pa.list_(pa.float64())}
    kinds |= dict.fromkeys(_TEXTS, pa.string())
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in columns])
    new = output.with_name(f"{output.name}.new")
    with lines.open(encoding="utf-8") as stream, ParquetWriter(new, schema) as writer:
        while rows := [json.loads(line) for line in islice(stream, 4096)]:
            writer.write_table(pa.Table.from_pylist(rows, schema))
    new.replace(output)
