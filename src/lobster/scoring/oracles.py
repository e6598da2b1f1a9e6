"""Oracles: measures that take seconds, asked by several workers, within a time, more than once if need be, and kept on disk."""

import hashlib
import inspect
import json
import math
import os
import shlex
import sqlite3
import stat
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from tqdm import tqdm

from lobster.constants import Modality
from lobster.scoring.parameters import number
from lobster.scoring.stored_values import StoredValues, default_file
from lobster.workers.measured import Measured, in_one_line
from lobster.workers.pool import Task, WorkerPool

QUIET = 2.0  # seconds before a line says how far a batch is
EVERY = 10.0  # seconds between such lines where they stay, in a file
SAVE_EVERY = 1.0  # seconds between writes to the disk


@dataclass(frozen=True)
class Settings:
    """How an oracle is asked.

    Attributes:
        workers: Processes that ask at the same time.
        batch_size: Sequences in one call, of what takes many; by default as many as are there for each worker.
        timeout: Seconds that a call may take; then its process and all that it started are killed.
        retries: How often a call that failed is tried again, after 0.5 s, 1 s, 2 s … 8 s.
        cache: Where values are kept for later runs: a file, True for `default_file`, False for nowhere; None is True where
            it can be told that an oracle is the same one again.
    """

    workers: int = 1
    batch_size: int | None = None
    timeout: float | None = None
    retries: int = 0
    cache: bool | str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Read settings as people write them.

        Raises:
            ValueError: One is not as it must be.

        >>> Settings.of({"workers": "8", "timeout": 1})
        Settings(workers=8, batch_size=None, timeout=1.0, retries=0, cache=None)
        """
        found = {name: value for name, value in given.items() if value is not None}
        for name, least in (("workers", 1), ("batch_size", 1), ("retries", 0)):
            if name in found:
                found[name] = _whole(name, found[name], least)
        if "timeout" in found:
            found["timeout"] = _amount("timeout", found["timeout"])
        if not isinstance(cache := found.get("cache", True), (bool, str, os.PathLike)):
            raise ValueError(f"cache is {cache!r}, expected a file, true or false")
        return cls(**found)


SETTINGS = tuple(Settings.__dataclass_fields__)


class Oracle:
    """Asks something slow what sequences are worth.

    What fails is not kept. A value is known again by the sequence, its modality, and what was asked: its kind, the command,
    address or function's name and the text of its module, its parameters, and what stands in the files among them.

    Args:
        name: What it is called where it says how far it is.
        kind: What it is.
        function: What is called: `Command`, `Url`, or a function. Its parameters are bound already.
        parameters: Those, which make it another oracle.
        batch: Whether it takes a list.
        settings: How it is asked.
        processes: Whether in processes of their own; otherwise here, by one worker and without a time limit.

    Raises:
        ValueError: A setting is of no use for it, or it cannot be sent to a process.

    >>> oracle = Oracle("length", "len", len, {}, batch=False, settings=Settings(workers=2, cache=False))
    >>> oracle(["C", "CC"], Modality.SMILES)
    [Measured(value=1.0, error=''), Measured(value=2.0, error='')]
    """

    def __init__(
        self,
        name: str,
        kind: str,
        function: Callable[..., Any],
        parameters: Mapping[str, Any],
        batch: bool,
        settings: Settings,
        processes: bool = True,
    ):
        if settings.batch_size and not batch:
            raise ValueError(
                "batch_size is for what takes many sequences at once: a function with batch: true, a command with "
                "{input} and {output}, or a url"
            )
        self.name, self.settings = name, settings
        self._known_as: dict[str, Any] = {"kind": kind, "parameters": dict(parameters)}
        self._known_now = self.version()
        self._task = Task(function, batch)
        self._pool = None
        if processes:
            try:
                self._pool = WorkerPool(self._task, settings.workers, settings.timeout, settings.retries)
            except Exception as error:  # pickling somebody else's function may raise anything
                raise ValueError(f"it cannot be sent to a worker process: {in_one_line(error)}") from error
        self._stored, self._keeps = None, True
        if settings.cache is not False:
            self._stored = StoredValues(default_file() if settings.cache in (None, True) else str(settings.cache))

    def version(self) -> str:
        """Return what it is known by, which differs once a file among its parameters has changed."""
        words = shlex.split(self._known_as["parameters"]["command"]) if self._known_as["kind"] == "command" else []
        texts = [*words, *_texts(self._known_as)]
        files = {text: _digest(text, *found) for text in texts if (found := _file_version(text))}
        return json.dumps(self._known_as | {"files": files}, sort_keys=True, default=str)

    def __call__(self, sequences: Sequence[str], modality: Modality) -> list[Measured]:
        """Return what is known of each sequence, or else what is said of it, or why there is no value."""
        if self._known_now != (version := self.version()):
            self._known_now = version
            if self._pool:
                self._pool.close()  # its processes may have read the file that changed
        key = f"{modality.value} {version}"
        found = {sequence: Measured(value) for sequence, value in self._find(key, sequences).items()}
        missing = [sequence for sequence in dict.fromkeys(sequences) if sequence not in found]
        unsaved: dict[str, float] = {}
        saved = time.monotonic()
        progress = _Progress(self.name, len(missing))
        try:
            for some, measured in self._ask(missing):
                found.update(zip(some, measured, strict=True))
                unsaved |= {s: m.value for s, m in zip(some, measured, strict=True) if math.isfinite(m.value)}
                progress.add(measured)
                if time.monotonic() > saved + SAVE_EVERY:
                    self._save(key, unsaved)
                    unsaved, saved = {}, time.monotonic()
        finally:  # an interruption loses nothing that was said
            self._save(key, unsaved)
            progress.close()
        return [found[sequence] for sequence in sequences]

    def _ask(self, sequences: list[str]) -> Iterator[tuple[list[str], list[Measured]]]:
        """Yield batches and what is said of them, as it comes."""
        size = 1
        if self._task.batch:
            size = self.settings.batch_size or max(1, math.ceil(len(sequences) / self.settings.workers))
        batches = [sequences[start : start + size] for start in range(0, len(sequences), size)]
        if self._pool:
            yield from self._pool.ask(batches)
            return
        for batch in batches:
            try:
                yield batch, self._task(batch)
            except Exception as error:  # a part of somebody else's may raise anything; the run goes on
                yield batch, [Measured.failed(error)] * len(batch)

    def _find(self, key: str, sequences: Sequence[str]) -> dict[str, float]:
        if self._stored is not None:
            try:
                return self._stored.find(key, set(sequences))
            except sqlite3.Error as error:
                self._stored = None
                self._warn("cannot be read, values are neither known nor kept", error)
        return {}

    def _save(self, key: str, values: Mapping[str, float]) -> None:
        if self._stored is not None and self._keeps and values:
            try:
                self._stored.add(key, values)
            except sqlite3.Error as error:
                self._keeps = False
                self._warn("cannot be written to, new values are not kept", error)

    def _warn(self, what: str, error: sqlite3.Error) -> None:
        warnings.warn(f"{self.name}: its cache {what}: {error}", stacklevel=5)


class _Progress:
    """Says on stderr how far a batch is, once it has taken `QUIET`: a bar on a terminal, elsewhere a line now and then."""

    def __init__(self, name: str, total: int):
        self._name, self._total = name, total
        self._done = self._failed = 0
        self._begun = time.monotonic()
        self._next = self._begun + QUIET
        self._bar: tqdm | None = None

    def add(self, measured: Sequence[Measured]) -> None:
        self._done += len(measured)
        self._failed += sum(bool(one.error) for one in measured)
        if (now := time.monotonic()) < self._next:
            return
        if sys.stderr.isatty():
            self._bar = self._bar or tqdm(total=self._total, desc=self._name, leave=False)
            self._bar.n = self._done
            self._bar.set_postfix(failed=self._failed)
            return
        self._next = now + EVERY
        line = (
            f"{self._name}: {self._done} of {self._total} sequences, {self._failed} failed, {now - self._begun:.0f} s"
        )
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def module_digest(function: Callable[..., Any]) -> str | None:
    """Return what stands for the text of a function's module, on whose constants and other functions it may depend.

    "" is of a function of C; None where another run could not tell that it is the same one.

    >>> module_digest(len), module_digest(lambda sequence: 1.0) is None, len(module_digest(os.path.join))
    ('', True, 64)
    """
    name = getattr(function, "__qualname__", "<none>")
    if inspect.isbuiltin(function):
        return ""
    if "<" in name or hasattr(function, "__self__"):
        return None  # a lambda, a closure or an object: what is bound to it cannot be seen
    try:
        return hashlib.sha256(inspect.getsource(inspect.getmodule(function)).encode()).hexdigest()  # type: ignore[arg-type]
    except (OSError, TypeError):  # typed in: nobody sees the rest
        return None


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in parameters, any of which may be a file."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, (str, os.PathLike)):
        yield os.fspath(value)


def _file_version(text: str) -> tuple[int, int] | None:
    """Return when a file last changed, in ns, and its size in bytes; None where a text is the name of no file."""
    try:
        status = os.stat(text)
    except (OSError, ValueError):
        return None
    return (status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else None


@lru_cache(maxsize=256)
def _digest(file: str, *version: int) -> str:
    """Return what stands for a file's content; it is read once for each version."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _whole(name: str, value: Any, least: int) -> int:
    found = _number(name, value)
    if found != found // 1 or found < least:
        raise ValueError(f"{name} is {value!r}, expected a whole number, at least {least}")
    return int(found)


def _amount(name: str, value: Any) -> float:
    found = _number(name, value)
    if not 0 < found < math.inf:
        raise ValueError(f"{name} is {value!r}, expected a number above 0")
    return found


def _number(name: str, value: Any) -> float:
    try:
        return float(number(value))
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error
