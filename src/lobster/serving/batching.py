"""Dynamic batching: what many ask for at the same time is scored in one call, by one thread that owns the encoder."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Gauge, Histogram

from lobster.constants import Modality
from lobster.scoring.completions import Scored
from lobster.scoring.scorer import Scorer

_SIZES = tuple(2**n for n in range(14))  # buckets of the histogram of batches


class BusyError(RuntimeError):
    """More waits than may.

    Attributes:
        seconds: After which to ask again: what the last call took, at least 1.
    """

    def __init__(self, message: str, seconds: int):
        super().__init__(message)
        self.seconds = seconds


@dataclass
class _Request:
    sequences: Sequence[str]
    modalities: Sequence[Modality | None]
    answer: asyncio.Future[list[Scored]]


class DynamicBatcher:
    """Scores for many at once; to be used from one event loop.

    While a call of the scorer runs, requests wait; the next call has all of them that fit into it. Nobody waits for a batch to fill.

    Args:
        scorer: What scores.
        max_batch: Sequences in one call, where it is of several requests.
        max_waiting: Sequences that may wait. A request that finds nothing before it is always taken.
        registry: Where its metrics are kept.
    """

    def __init__(self, scorer: Scorer, max_batch: int, max_waiting: int, registry: CollectorRegistry):
        self._scorer, self._max_batch, self._max_waiting = scorer, max_batch, max_waiting
        self._thread = ThreadPoolExecutor(1, "scorer")
        self._waiting: deque[_Request] = deque()
        self._scoring: list[_Request] = []
        self._work: asyncio.Task | None = None
        self._seconds = Histogram("lobster_scoring_seconds", "Seconds of a call of the scorer", registry=registry)
        self._sizes = Histogram(
            "lobster_batch_sequences", "Sequences in a call of the scorer", buckets=_SIZES, registry=registry
        )
        waiting = Gauge("lobster_waiting_sequences", "Sequences that wait for the scorer", registry=registry)
        waiting.set_function(lambda: _count(self._waiting))
        self._last = 0.0  # seconds of the last call

    @property
    def unanswered(self) -> int:
        """How many sequences were taken and have no score yet."""
        return _count(self._waiting) + _count(self._scoring)

    async def score(self, sequences: Sequence[str], modalities: Sequence[Modality | None]) -> list[Scored]:
        """Score sequences, as `Scorer.score` does; whoever asks watches for himself how many failed.

        Raises:
            BusyError: Too many wait already.
        """
        waiting = _count(self._waiting)
        if waiting and waiting + len(sequences) > self._max_waiting:
            raise BusyError(
                f"{waiting} sequences wait, {self._max_waiting} may: ask again", max(1, math.ceil(self._last))
            )
        request = _Request(sequences, modalities, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._score_all())
        return await request.answer

    async def _score_all(self) -> None:
        """Score until nothing waits."""
        while self._waiting:
            self._scoring = self._next_batch()
            sequences = [s for request in self._scoring for s in request.sequences]
            modalities = [m for request in self._scoring for m in request.modalities]
            begun = time.monotonic()
            try:
                scored, _ = await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._scorer.score_with_faults, sequences, modalities
                )
            except Exception as error:  # a part of somebody else's may raise anything; the server goes on
                self._answer(error)
            else:
                self._answer(scored)
            self._last = time.monotonic() - begun
            self._seconds.observe(self._last)
            self._sizes.observe(len(sequences))

    def _next_batch(self) -> list[_Request]:
        batch = [self._waiting.popleft()]
        while self._waiting and _count(batch) + len(self._waiting[0].sequences) <= self._max_batch:
            batch.append(self._waiting.popleft())
        return batch

    def _answer(self, found: list[Scored] | Exception) -> None:
        """Give each request of the call its part; one whose task was cancelled wants none."""
        first = 0
        for request in self._scoring:
            last = first + len(request.sequences)
            if request.answer.cancelled():
                pass
            elif isinstance(found, Exception):
                request.answer.set_exception(found)
            else:
                request.answer.set_result(found[first:last])
            first = last
        self._scoring = []


def _count(requests: Sequence[_Request] | deque[_Request]) -> int:
    return sum(len(request.sequences) for request in requests)
