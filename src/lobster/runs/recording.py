"""What a run writes into its folder while it runs: what defines it, its metrics, and every completion that was scored."""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import compute, parquet
from transformers import TrainerCallback

from lobster.processes import from_all_processes
from lobster.runs.description import write_run
from lobster.runs.folder import COMPLETIONS, METRICS_FILE, SUMMARY_FILE, completion_parts, json_line
from lobster.scoring.completions import Scored
from lobster.scoring.function import PSEUDO_LIKELIHOOD

if TYPE_CHECKING:
    from lobster.rl_training.trl_reward import UmeReward

PART_ROWS = 10_000  # completions in a file


class RunRecorder(TrainerCallback):
    """Records a run in its folder (`lobster.runs.folder`). Where several processes run, the first one writes for all.

    Args:
        reward: The UME reward; it hands over what it scored.
        arguments: Of `train_ume_grpo`, as they were resolved.
        keep_completions: How many completions are kept, about 100 bytes each; beyond that the oldest go, a file at a time,
            except the first file. 0 keeps none.
    """

    def __init__(self, reward: "UmeReward", arguments: Mapping[str, Any], keep_completions: int = 1_000_000):
        if keep_completions < 0:
            raise ValueError(f"keep_completions is {keep_completions}: expected how many to keep, or 0")
        self.reward, self.arguments = reward, arguments
        self.folder = Path()
        # Before a run begins nothing is recorded: an evaluation then is no part of it, and has no folder.
        self._recording = False
        self.keep = keep_completions
        self.part_rows = max(1, min(PART_ROWS, keep_completions // 4))
        self._step = 0
        self._part = 0  # number of the file that is being filled
        self._rows: list[dict[str, Any]] = []  # what it holds
        self._written = 0  # how many of them the file on the disk has
        reward.listeners.append(self.add)

    def begin(self, folder: Path, start: Path | None) -> None:
        """Say where to, and which checkpoint is gone on from; called where a run is about to train."""
        self.folder = folder
        self._start = start if start is not None and start.resolve().parent == folder.resolve() else None
        self._began, self._recording = time.monotonic(), True

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._step = state.global_step
        if not state.is_world_process_zero:
            return
        write_run(self.folder, self.arguments, args, state.global_step if self._start else None)
        (self.folder / SUMMARY_FILE).unlink(missing_ok=True)
        # The state has all up to the checkpoint, and nothing else.
        (self.folder / METRICS_FILE).write_text("".join(map(json_line, filter(_is_step, state.log_history))))
        if self._start is None:
            shutil.rmtree(self.folder / COMPLETIONS, ignore_errors=True)
        if self.keep:
            (self.folder / COMPLETIONS).mkdir(exist_ok=True)
            self._go_on(state.global_step)

    def _go_on(self, step: int) -> None:
        """Drop what was scored after a step, and go on behind the rest."""
        self._part, self._rows = 0, []
        for file in completion_parts(self.folder):
            table = parquet.read_table(file)
            kept = table.filter(compute.less_equal(table["step"], step))
            if not len(kept):
                file.unlink()
                continue
            number = int(file.stem.partition("-")[2])
            if len(kept) < len(table) or len(kept) < self.part_rows:
                self._part, self._rows, self._written = number, kept.to_pylist(), len(table)
            else:
                self._part, self._rows, self._written = number + 1, [], 0
        self.flush()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._step = state.global_step + 1

    def add(
        self, prompts: Sequence[Any], completions: Sequence[Any], scored: Sequence[Scored], rewards: list[float]
    ) -> None:
        """Take note of what was scored. Where several processes run, all must call it together."""
        if not self.keep or not self._recording:
            return
        entries = zip(prompts, completions, scored, rewards, strict=True)
        everyone, own = from_all_processes([self._row(*entry) for entry in entries])
        if own:
            return
        rows = [row for theirs in everyone for row in theirs]
        while rows:
            room = self.part_rows - len(self._rows)
            self._rows, rows = self._rows + rows[:room], rows[room:]
            if len(self._rows) == self.part_rows:
                self.flush()
                self._part, self._rows, self._written = self._part + 1, [], 0
                files, most = completion_parts(self.folder), self.keep // self.part_rows
                for old in files[1 : max(1, len(files) + 2 - most)]:  # the first stays, and one is about to come
                    old.unlink()

    def _row(self, prompt: Any, completion: Any, scored: Scored, reward: float) -> dict[str, Any]:
        return {
            "step": self._step,
            "prompt": prompt if isinstance(prompt, str) or prompt is None else json.dumps(prompt),
            "completion": completion if isinstance(completion, str) else None,
            "sequence": scored.sequence or None,
            "modality": scored.modality.value if scored.modality else None,
            "outcome": scored.outcome.value,
            PSEUDO_LIKELIHOOD: scored.pseudo_likelihood,
            "score": scored.score,
            **{component.name: scored.values.get(component.name) for component in self._components},
            "novelty_weight": scored.novelty_weight,
            "reward": reward,
        }

    @property
    def _components(self) -> list[Any]:
        found = self.reward.reward_function.scoring.components
        return [component for component in found if component.name != PSEUDO_LIKELIHOOD]

    @property
    def _schema(self) -> pa.Schema:
        texts = ["prompt", "completion", "sequence", "modality", "outcome"]
        figures = [PSEUDO_LIKELIHOOD, "score", *(c.name for c in self._components), "novelty_weight", "reward"]
        return pa.schema(
            [("step", pa.int32())] + [(n, pa.string()) for n in texts] + [(n, pa.float32()) for n in figures]
        )

    def flush(self) -> None:
        """Write what has come since it was last written; the file is whole at any time."""
        if len(self._rows) == self._written:
            return
        file = self.folder / COMPLETIONS / f"part-{self._part:05}.parquet"
        half = file.with_suffix(".half")
        parquet.write_table(pa.Table.from_pylist(self._rows, self._schema), half, compression="zstd")
        half.replace(file)
        self._written = len(self._rows)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if not self._recording or not state.is_world_process_zero or not logs or not _is_step(logs):
            return
        with (self.folder / METRICS_FILE).open("a") as stream:
            stream.write(json_line({"step": state.global_step} | logs))
        self.flush()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.flush()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.flush()

    def summarise(self, state: Any, ended: str, stopped_by_guard: bool) -> None:
        """Write the summary of a run that has ended.

        Args:
            state: The trainer's.
            ended: Why it ended.
            stopped_by_guard: Whether that is the guard.
        """
        lines = [json.loads(line) for line in (self.folder / METRICS_FILE).read_text().splitlines()]
        best = self.reward.top_sequences.best
        summary = {
            "steps": state.global_step,
            "ended": ended,
            "stopped_by_guard": stopped_by_guard,
            "seconds": round(time.monotonic() - self._began, 1),
            "distinct_sequences": self.reward.top_sequences.unique,
            "best": json.loads(json_line(best[0])) if best else None,
            "first": lines[0] if lines else None,
            "last": lines[-1] if lines else None,
        }
        new = self.folder / f"{SUMMARY_FILE}.new"
        new.write_text(json.dumps(summary, indent=2) + "\n")
        new.replace(self.folder / SUMMARY_FILE)


def _is_step(logs: Mapping[str, Any]) -> bool:
    """Say whether what was logged is of a step, not of the whole run."""
    return "train_runtime" not in logs
