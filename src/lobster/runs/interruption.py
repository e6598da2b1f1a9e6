"""Ctrl-C during a run: once, the step is finished and saved; twice, the run stops at once."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from transformers import TrainerCallback

from lobster.processes import from_all_processes

_FIRST = "\ninterrupted: the step is finished, then a checkpoint and the report are saved; Ctrl-C again stops at once"


class Interruption(TrainerCallback):
    """Ends a run, with a checkpoint, after the step in which Ctrl-C came.

    An exception that a signal raises in the middle of a step is lost where it meets a callback from C code, and memory and weights
    do not fit together there; so the signal sets a flag, which is read when the step has ended. A second signal raises
    KeyboardInterrupt where the program is; should that be lost, the run ends with the step, without a checkpoint.

    Attributes:
        count: How often Ctrl-C came.
    """

    def __init__(self) -> None:
        self.count = 0
        self._ending = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take Ctrl-C meanwhile. Outside of the main thread, where signals cannot be taken, it is as ever."""
        self.count, self._ending = 0, False
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._take)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _take(self, number: int, frame: Any) -> None:
        self.count += 1
        if self.count > 1:
            raise KeyboardInterrupt
        with suppress(RuntimeError):  # it may have come while something else was being written there
            print(_FIRST, file=sys.stderr, flush=True)

    def came(self) -> int:
        """Return how often Ctrl-C came to any process; it may reach them in different steps. All must call it together."""
        counts, _ = from_all_processes([self.count])
        self.count = max(count for [count] in counts)
        return self.count

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._ending = self.came() > 0
        if self.count > 1:
            raise KeyboardInterrupt
        if self._ending:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._ending:  # what comes after the last step of a whole run, such as deleting checkpoints, is left out
            raise KeyboardInterrupt
