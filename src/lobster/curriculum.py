"""A run in stages, each with a score of its own: from what is easily reached to what is wanted."""

import gc
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from inspect import signature
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trl import GRPOConfig

from lobster.resume import check_output_dir, checkpoints, foreign_checkpoints
from lobster.rl_training.batches import check_bounds
from lobster.rl_training.diversity import DiversityMemory
from lobster.rl_training.grpo_trainer import UmeGRPOTrainer
from lobster.rl_training.trainers import chosen, prepare_ume_grpo, train_ume_grpo
from lobster.runs.folder import STAGE, STAGE_END

logger = logging.getLogger(__name__)

_TAKEN_OVER = ("model_path", "diversity", "output_dir")
# A rehearsal is without what costs, or is seen outside; and without a new adapter, which changes a model in memory.
_REHEARSAL = {"beta": 0.0, "sync_ref_model": False, "use_vllm": False, "push_to_hub": False, "callbacks": None}


def train_curriculum(
    stages: Sequence[Mapping[str, Any]],
    output_dir: str | Path,
    resume: bool = False,
    diversity: DiversityMemory | Mapping[str, Any] | bool = True,
    **common: Any,
) -> UmeGRPOTrainer | None:
    """Train in stages, each from the policy, and with the diversity memory, that the one before left.

    Stage n is a run like any other, in ``stage-n`` of ``output_dir``; its anchor is the policy that it starts from. It ends
    after its steps (``max_steps``), when its budget is spent (``scoring_budget``), or when its score is reached
    (``until_score``). One that the guard has stopped leaves its best policy. The idea is that of curriculum learning in
    REINVENT (Guo et al., Nat. Mach. Intell. 4, 2022).

    Args:
        stages: The arguments of `train_ume_grpo` that each has for itself.
        output_dir: Where the stages' folders go.
        resume: Whether stages that have ended are left alone, and the next goes on from its last checkpoint.
        diversity: As of `create_ume_grpo_trainer`.
        common: Arguments that all stages have.

    Returns:
        The last stage's trainer; None where all had ended.

    Raises:
        ValueError: There is no stage, or one has for itself what it takes over; or as of `train_ume_grpo`. What can be known of all
            stages is said before the first begins.
        TypeError, FileNotFoundError, FileExistsError, OSError, KeyboardInterrupt: As of `train_ume_grpo`.
    """
    if not stages:
        raise ValueError("stages is empty: expected a list of the arguments that each stage has for itself")
    memory = chosen(diversity, DiversityMemory, "diversity")
    runs: list[dict[str, Any]] = []
    for number, stage in enumerate(stages, 1):
        if taken := [name for name in _TAKEN_OVER if name in stage and (number > 1 or name != "model_path")]:
            raise ValueError(
                f"stage {number} has {taken[0]} for itself, which all take over: say it once, for the first"
            )
        own = common | dict(stage) | {"diversity": False if memory is None else memory}
        own["seed"] = own.get("seed", GRPOConfig.seed) + number - 1  # or all would begin with the same draws
        if runs:
            own["model_path"] = str(runs[-1]["output_dir"])
            own.pop("peft_config", None)  # the adapter of the stage before is trained on
        runs.append(own | {"output_dir": Path(output_dir) / STAGE.format(number)})
    signature(train_ume_grpo).bind(**runs[0])  # a TypeError where an argument is missing
    ended = list(takewhile(lambda run: resume and (run["output_dir"] / STAGE_END).is_dir(), runs))
    for number in range(1, len(ended) + 1):
        logger.warning("stage %d of %d had ended: nothing is trained", number, len(stages))
    if ended and memory is not None:
        memory.load(ended[-1]["output_dir"] / STAGE_END)
    left = runs[len(ended) :]
    for number, run in enumerate(left, len(ended) + 1):
        if not resume and run["output_dir"].exists():
            check_output_dir(run["output_dir"], overwrite=run.get("overwrite_output_dir", False))
        if len(left) > 1:
            _rehearse(run | {"model_path": left[0]["model_path"]}, number)
    gc.collect()  # a trainer and its callbacks know each other
    if os.environ.get("RANK", "0") == "0" and left:
        _forget([run["output_dir"] for run in left])
    trainer = None
    for number, run in enumerate(left, len(ended) + 1):
        folder = run["output_dir"]
        if number > 1 and memory is not None:
            memory.begin_with = str((runs[number - 2]["output_dir"] / STAGE_END).resolve())
        going_on = resume and bool(checkpoints(folder))
        if resume and not going_on:  # what lies there is the beginning of this stage
            run["overwrite_output_dir"] = True
        trainer = train_ume_grpo(**run, resume_from_checkpoint=going_on)
        if trainer.is_world_process_zero():
            _end(folder, memory)
        trainer.accelerator.wait_for_everyone()  # until the first process has saved what all go on from
    return trainer


def _forget(folders: Sequence[Path]) -> None:
    """Remove what would be gone on with of an older run: where stages ended, and the checkpoints of all but the first."""
    for folder in folders:
        shutil.rmtree(folder / STAGE_END, ignore_errors=True)
    for folder in folders[1:]:
        for old in foreign_checkpoints(folder, None):
            shutil.rmtree(old, ignore_errors=True)


def _end(folder: Path, memory: DiversityMemory | None) -> None:
    """Leave the memory to the next stage, last of all that a stage leaves: by it is known that it has ended."""
    new = folder / f"{STAGE_END}.new"
    new.mkdir(exist_ok=True)
    if memory is not None:
        memory.save(new)
    new.rename(folder / STAGE_END)


def _rehearse(run: Mapping[str, Any], number: int) -> None:
    """Build a stage's trainer and drop it: what is wrong is said before those in front of it have been trained for hours."""
    arguments = {name: value for name, value in run.items() if name not in ("html_report", "peft_config")}
    try:
        check_bounds(run)
        with TemporaryDirectory() as folder:
            prepare_ume_grpo(**arguments | _REHEARSAL | {"output_dir": folder})
    except (TypeError, ValueError) as error:
        error.args = (f"stage {number}: {error}",)
        raise
