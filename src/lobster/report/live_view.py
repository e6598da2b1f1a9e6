"""What a run shows of itself while it trains: a live view in a terminal, plain lines elsewhere."""

import logging
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK

from lobster.quiet import quiet_libraries

LINE = 159  # characters of a plain line
_BARS = "▁▂▃▄▅▆▇█"
_POINTS = 40  # of a sparkline
_BEST = 5  # sequences that are shown
_WIDTH = 110  # columns


class LiveView(TrainerCallback):
    """Shows the step, the time left, curves of what matters, tokens a second and the best sequences.

    In a terminal that is one panel, drawn anew with each step, above which everything else that is printed goes by. Where stdout is
    no terminal, and with ``disable_tqdm=True``, it is a line a logging step, of at most `LINE` characters. Only the main process
    speaks. `close` ends it, also where training has ended in an exception.

    Args:
        reward: The trainer's `UmeReward`, whose best sequences are shown.
    """

    def __init__(self, reward: Any):
        name = reward.__name__
        self.titles = {
            "reward": "reward",
            f"{name}/pseudo_likelihood": "pseudo-likelihood",
            f"{name}/valid": "valid",
            f"{name}/unique": "unique",
            "kl": "kl",
        }
        self._top = reward.top_sequences
        self._open = ExitStack()
        self._live: Live | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        self._values: dict[str, list[float]] = defaultdict(list)
        for entry in state.log_history:
            self._take(entry)
        self._name, self._state = Path(args.output_dir).name, state
        self._began = self._logged = time.monotonic()
        self._first_step, self._tokens, self._speed = state.global_step, state.num_input_tokens_seen, 0.0
        self._known, self._new = self._best(), set[str]()
        console = Console()
        if sys.stdout.isatty() and console.is_interactive and not (console.options.ascii_only or args.disable_tqdm):
            both = sys.stderr.isatty()
            self._live = Live(self, console=console, auto_refresh=False, redirect_stderr=both)
            printing = _printing_handlers(both)
            self._open.enter_context(self._live)
            for handler in printing:  # above the panel, like all that is printed
                self._open.callback(handler.setStream, handler.stream)
                handler.setStream(sys.stderr if handler.stream is sys.__stderr__ else sys.stdout)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._live is not None:
            self._live.refresh()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        if "eval_reward" in logs:
            self._say(f"step {state.global_step}/{state.max_steps}  evaluation  {self._figures(logs, 'eval_')}")
            return
        self._take(logs)
        now, tokens = time.monotonic(), logs.get("num_tokens", self._tokens)
        self._speed = (tokens - self._tokens) / max(now - self._logged, 1e-9)
        self._logged, self._tokens = now, tokens
        best = self._best()
        self._known, self._new = best, best - self._known
        if self._live is None:
            self._say(self._line(logs))
        else:
            self._live.refresh()

    def close(self) -> None:
        """Leave what is shown as it is, and the terminal as it was."""
        if self._live is not None:
            self._live.refresh()
        self._open.close()
        self._live = None

    def _take(self, logs: dict[str, float]) -> None:
        for name in self.titles.keys() & logs.keys():
            if math.isfinite(logs[name]):
                self._values[name].append(logs[name])

    def _best(self) -> set[str]:
        return {row["sequence"] for row in self._top.best}

    def _say(self, line: str) -> None:
        print(line[:LINE], flush=True)

    def _left(self) -> str:
        """Return the time that the rest of the steps takes, at the speed so far."""
        done = self._state.global_step - self._first_step
        if not done:
            return "?"
        seconds = (time.monotonic() - self._began) / done * (self._state.max_steps - self._state.global_step)
        return str(timedelta(seconds=round(seconds)))

    def _figures(self, logs: dict[str, float], prefix: str = "") -> str:
        shown = [(title, logs[prefix + name]) for name, title in self.titles.items() if prefix + name in logs]
        return "  ".join(f"{title} {value:.3g}" for title, value in shown)

    def _line(self, logs: dict[str, float]) -> str:
        step = f"step {self._state.global_step}/{self._state.max_steps}  {self._left()} left"
        line = f"{step}  {self._figures(logs)}  {self._speed:,.0f} tokens/s"
        new = next((row for row in self._top.best if row["sequence"] in self._new), None)
        return f"{line}  new {new['score']:.3g} {new['sequence']}" if new else line

    def __rich__(self) -> Panel:
        state = self._state
        head = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=max(state.max_steps, 1), completed=state.global_step, width=_POINTS)
        speed = f"{self._speed:,.0f} tokens/s" if self._speed else ""
        head.add_row(f"step {state.global_step}/{state.max_steps}", bar, f"{self._left()} left", speed)
        curves = Table.grid(padding=(0, 2))
        for name, title in self.titles.items():
            if values := self._values[name]:
                now, first = f"[bold]{values[-1]:.3g}[/]", f"[dim]from {values[0]:.3g}[/]"
                curves.add_row(title, f"[cyan]{sparkline(values)}[/]", now, first)
        best = Table.grid(padding=(0, 2))
        best.add_column(no_wrap=True)
        best.add_column(no_wrap=True, overflow="ellipsis")
        for row in self._top.best[:_BEST]:
            new = row["sequence"] in self._new
            best.add_row(
                f"{row['score']:.3f}{' new' if new else '    '}", Text(row["sequence"], "green" if new else "")
            )
        parts = [part for part in (head, curves, best) if part.row_count]
        return Panel(Group(*parts), title=Text(self._name), title_align="left", width=min(_WIDTH, Console().width))


def sparkline(values: Sequence[float], points: int = _POINTS) -> str:
    """Return finite numbers as a line of bars, from the lowest to the highest of them; more than ``points`` are averaged.

    >>> sparkline([0.1, 0.4, 0.8, 0.3]), sparkline([1, 1]), len(sparkline(range(1000)))
    ('▁▄█▃', '▁▁', 40)
    """
    means = np.array([part.mean() for part in np.array_split(np.asarray(values, float), min(points, len(values)))])
    heights = (means - means.min()) / (np.ptp(means) or 1.0) * (len(_BARS) - 1)
    return "".join(_BARS[round(height)] for height in heights)


@contextmanager
def live_view(trainer: Any) -> Iterator[None]:
    """Let a `LiveView` stand for the trainer's own progress bar and printed logs meanwhile.

    Args:
        trainer: A `UmeGRPOTrainer`.
    """
    theirs = (PrinterCallback, ProgressCallback, DEFAULT_PROGRESS_CALLBACK)
    before = [callback for callback in trainer.callback_handler.callbacks if isinstance(callback, theirs)]
    for callback in before:
        trainer.remove_callback(callback)
    trainer.add_callback(view := LiveView(trainer.ume_reward))
    try:
        with quiet_libraries():
            yield
    finally:
        view.close()
        trainer.remove_callback(view)
        for callback in before:
            trainer.add_callback(callback)


def _printing_handlers(stderr: bool) -> list[Any]:
    """Return the handlers of logs that print to the terminal, which hold its streams as they were when these were made."""
    loggers = [
        logging.root,
        *(log for log in logging.root.manager.loggerDict.values() if isinstance(log, logging.Logger)),
    ]
    streams = [sys.stdout, sys.stderr] if stderr else [sys.stdout]
    found = [handler for log in loggers for handler in log.handlers if isinstance(handler, logging.StreamHandler)]
    return [handler for handler in found if vars(handler).get("stream") in streams]
