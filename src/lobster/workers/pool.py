"""Functions called in processes of their own, which can be killed: when their time is up, and when nobody waits any more."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any

from lobster.workers.measured import Measured, together

TICK = 0.5  # seconds after which whoever waits is told that nothing happened, to show it
FIRST_DELAY = 0.5  # seconds before a call is tried for the second time; doubled each time after that …
LONGEST_DELAY = 8.0  # … up to this
_PROGRAM = "import sys; sys.path[:] = {path!r}; from lobster.workers.pool import serve; serve({descriptor})"


class RefusedError(ValueError):
    """Whoever was asked will never answer: trying again is of no use."""


@dataclass(frozen=True)
class Task:
    """What a worker process is there for.

    Attributes:
        function: From a sequence to a number or, where ``batch``, from a list of sequences to as many. It goes to the
            process by dill: of a module by its name, otherwise as it is.
        batch: Which of the two.
    """

    function: Callable[..., Any]
    batch: bool

    def __call__(self, sequences: Sequence[str]) -> list[Measured]:
        """Return the value of each sequence, or why it has none; what the function raises is raised."""
        return together(self.function if self.batch else lambda some: [self.function(one) for one in some], sequences)


@dataclass
class _Reply:
    measured: list[Measured]
    failed: bool = False  # whether the whole call did
    final: bool = False  # whether it would again

    @classmethod
    def failure(cls, error: Exception, count: int) -> "_Reply":
        return cls([Measured.failed(error)] * count, failed=True, final=isinstance(error, RefusedError))


@dataclass
class _Call:
    sequences: list[str]
    tries: int = 0
    due: float = 0.0  # when it may be tried, by the monotonic clock
    answered_before: int | None = None  # how many calls had been answered when it was first tried


class WorkerPool:
    """Processes that call a function for batches of sequences.

    Each leads a process group of its own, which is killed with all that it started: when a call takes too long, when `close`
    is called or whoever asks is interrupted, and, by the process itself, when this one is gone. They are kept from one
    call to the next.

    Args:
        task: What to call.
        workers: The number of processes.
        timeout: Seconds that a call may take; a process that starts, or imports, is not counted. None is for ever.
        retries: How often a call that failed as a whole is tried again, after 0.5 s, 1 s, 2 s … 8 s. Where one has failed
            to the end and none has been answered since it began, the others are not tried again.

    >>> pool = WorkerPool(Task(len, batch=False), workers=2)
    >>> sorted(measured.value for _, found in pool.ask([["C"], ["CC"], ["CCC"]]) for measured in found)
    [1.0, 2.0, 3.0]
    >>> pool.close()
    """

    def __init__(self, task: Task, workers: int = 1, timeout: float | None = None, retries: int = 0):
        self.timeout, self.retries = timeout, retries
        import dill

        self._task = dill.dumps(task, recurse=True)
        self._workers = [_Worker() for _ in range(workers)]
        self._answered = 0
        self._outage = False

    def ask(self, batches: Iterable[Sequence[str]]) -> Iterator[tuple[list[str], list[Measured]]]:
        """Yield each batch and what was said of it, as they come; an empty one where nothing came for half a second."""
        waiting = deque(_Call(list(batch)) for batch in batches)
        busy: dict[_Worker, _Call] = {}
        self._outage = False
        try:
            while waiting or busy:
                self._hand_out(waiting, busy)
                replies = list(self._replies(busy))
                for call, reply in replies:
                    if self._again(call, reply):
                        waiting.append(call)
                    else:
                        yield call.sequences, reply.measured
                if not replies:
                    yield [], []
        except BaseException:  # an interruption, or nobody wants the rest
            self.close()
            raise

    def close(self) -> None:
        """Kill all processes; the next call starts new ones."""
        for worker in self._workers:
            worker.kill()

    def _hand_out(self, waiting: deque[_Call], busy: dict["_Worker", _Call]) -> None:
        idle = [worker for worker in self._workers if worker not in busy]
        for _ in range(len(waiting)):
            if not idle:
                return
            call = waiting.popleft()
            if call.due > time.monotonic():
                waiting.append(call)
                continue
            if call.answered_before is None:
                call.answered_before = self._answered
            call.tries += 1
            worker = idle.pop(0)
            worker.give(self._task, call.sequences)
            busy[worker] = call

    def _replies(self, busy: dict["_Worker", _Call]) -> Iterator[tuple[_Call, _Reply]]:
        """Wait for processes, for `TICK` at most; take those that replied, died or took too long from the busy ones."""
        ends = [w.given + self.timeout for w in busy if self.timeout is not None and w.given is not None]
        nap = max(0.0, min([TICK, *(end - time.monotonic() for end in ends)]))
        if not busy:  # all that is left waits to be tried again
            time.sleep(nap / 10)
        ready = wait([worker.connection for worker in busy], nap)
        for worker, call in list(busy.items()):
            reply = None
            if worker.connection in ready:
                reply = worker.receive(len(call.sequences))
            elif self.timeout is not None and worker.given and time.monotonic() >= worker.given + self.timeout:
                worker.kill()
                reply = _Reply.failure(TimeoutError(f"no answer within {self.timeout:g} s"), len(call.sequences))
            if reply is not None:
                del busy[worker]
                yield call, reply

    def _again(self, call: _Call, reply: _Reply) -> bool:
        """Say whether a call is to be tried again."""
        if not reply.failed:
            self._answered += 1
            self._outage = False
            return False
        if reply.final or self._outage:
            return False
        if call.tries > self.retries:
            self._outage = self._answered == call.answered_before
            return False
        call.due = time.monotonic() + min(FIRST_DELAY * 2 ** (call.tries - 1), LONGEST_DELAY)
        return True


class _Worker:
    """One process, started when it is given its first call and again after it was killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self.connection: Connection
        self.given: float | None = None  # when the call began, by the monotonic clock; None while the process starts

    def __reduce__(self) -> tuple[type, tuple]:
        return _Worker, ()  # a copy has a process of its own, once it needs one

    def give(self, task: bytes, sequences: list[str]) -> None:
        if self._process is None:
            self._start(task)
        else:
            self.given = time.monotonic()
        with suppress(OSError):  # it died while it was idle: that is told where its reply is waited for
            self.connection.send(sequences)

    def _start(self, task: bytes) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            program = _PROGRAM.format(path=[place or os.getcwd() for place in sys.path], descriptor=theirs.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.given = None
        self.connection.send_bytes(task)

    def receive(self, count: int) -> _Reply | None:
        """Return what it says of its sequences; None where it says that it has started."""
        try:
            reply = self.connection.recv()
        except (EOFError, OSError):
            status = self.kill()
            return _Reply.failure(RuntimeError(f"the worker process ended with status {status}"), count)
        if reply is None:
            self.given = time.monotonic()
        elif self.given is None:  # it could not begin
            self.kill()
        return reply

    def kill(self) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        self.connection.close()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def serve(descriptor: int) -> None:
    """Be a worker process: read a task and then, one after the other, lists of sequences; send what is said of each."""
    connection, calls = Connection(descriptor), SimpleQueue[list[str]]()
    task = connection.recv_bytes()
    threading.Thread(target=_listen, args=(connection, calls), daemon=True).start()
    try:
        function = pickle.loads(task)  # which imports dill only where that is needed
    except Exception as error:  # a module of somebody else's may raise anything
        connection.send(
            _Reply.failure(RefusedError(f"its process cannot begin: {Measured.failed(error).error}"), len(calls.get()))
        )
        return
    connection.send(None)
    while True:
        connection.send(_reply(function, calls.get()))


def _reply(function: Task, sequences: list[str]) -> _Reply:
    try:
        return _Reply(function(sequences))
    except Exception as error:  # a part of somebody else's may raise anything
        return _Reply.failure(error, len(sequences))


def _listen(connection: Connection, calls: SimpleQueue[list[str]]) -> None:
    """Pass calls on; once nobody is there to send any, end this process and all that it started."""
    with suppress(EOFError, OSError):
        while True:
            calls.put(connection.recv())
    os.killpg(0, signal.SIGKILL)
