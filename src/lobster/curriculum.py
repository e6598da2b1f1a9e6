"""A run in stages, each with a score of its own: from what is easily reached to what is wanted."""

import logging
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from trl import GRPOConfig

from lobster.resume import checkpoints
from lobster.rl_training.diversity import DiversityMemory
from lobster.rl_training.grpo_trainer import UmeGRPOTrainer
from lobster.rl_training.guards import RunGuard, ScoreReached, ScoringBudget
from lobster.rl_training.trainers import check_keywords, chosen, train_ume_grpo
from lobster.runs.folder import STAGE
from lobster.runs.top_sequences import TopSequences
from lobster.scoring.scorer import scoring_of

logger = logging.getLogger(__name__)

_CARD = "README.md"  # what a run writes last of all that another can start from
_TAKEN_OVER = ("model_path", "diversity", "output_dir")


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
    for number, stage in enumerate(stages, 1):
        if taken := [name for name in _TAKEN_OVER if name in stage and (number > 1 or name != "model_path")]:
            raise ValueError(
                f"stage {number} has {taken[0]} for itself, which all take over: say it once, for the first"
            )
        _check(common | dict(stage))
    memory = chosen(diversity, DiversityMemory, "diversity")
    trainer = None
    for number, stage in enumerate(stages, 1):
        folder, before = (Path(output_dir) / STAGE.format(n) for n in (number, number - 1))
        if resume and (folder / _CARD).is_file():
            logger.warning("stage %d of %d had ended: nothing is trained", number, len(stages))
            if memory is not None and (left := checkpoints(folder)):
                memory.load(next(iter(left.values())))  # the last one's
            continue
        own = common | dict(stage) | {"diversity": False if memory is None else memory}
        own["seed"] = own.get("seed", GRPOConfig.seed) + number - 1  # or all would begin with the same draws
        if number > 1:
            own["model_path"] = str(before)
            own.pop("peft_config", None)  # the adapter of the stage before is trained on
        going_on = resume and bool(checkpoints(folder))
        trainer = train_ume_grpo(**own, output_dir=folder, resume_from_checkpoint=going_on)
        trainer.accelerator.wait_for_everyone()  # until the first process has saved what all go on from
    return trainer


def _check(stage: Mapping[str, Any]) -> None:
    """Find what is wrong with a stage as far as it takes no model, before those in front of it are trained for hours."""
    check_keywords({name: value for name, value in stage.items() if name not in signature(train_ume_grpo).parameters})
    chosen(stage.get("guard", True), RunGuard, "guard")
    if (scoring := stage.get("scoring")) is not None:
        scoring_of(scoring)
    if (score := stage.get("until_score")) is not None:
        ScoreReached(score)
    if (budget := stage.get("scoring_budget")) is not None:
        ScoringBudget(TopSequences(), budget)
