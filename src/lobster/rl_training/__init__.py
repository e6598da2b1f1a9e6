"""GRPO with a UME reward. TRL, which takes a second to import, is imported when a trainer is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lobster.rl_training.diversity import DiversityMemory
from lobster.rl_training.guards import RunGuard
from lobster.rl_training.reward_functions import (
    UmeRewardFunction,
    compute_pseudo_likelihood,
    create_ume_reward_wrapper,
)
from lobster.rl_training.trl_reward import UmeReward
from lobster.runs.top_sequences import TopSequences

if TYPE_CHECKING:
    from lobster.rl_training.grpo_trainer import UmeGRPOTrainer
    from lobster.rl_training.trainers import create_ume_grpo_trainer, train_ume_grpo
    from lobster.runs.description import read_run

__all__ = [
    "DiversityMemory",
    "RunGuard",
    "TopSequences",
    "UmeGRPOTrainer",
    "UmeReward",
    "UmeRewardFunction",
    "compute_pseudo_likelihood",
    "create_ume_grpo_trainer",
    "create_ume_reward_wrapper",
    "read_run",
    "train_ume_grpo",
]

_WHEN_ASKED_FOR = {
    "UmeGRPOTrainer": "lobster.rl_training.grpo_trainer",
    "create_ume_grpo_trainer": "lobster.rl_training.trainers",
    "read_run": "lobster.runs.description",
    "train_ume_grpo": "lobster.rl_training.trainers",
}


def __getattr__(name: str) -> Any:
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHEN_ASKED_FOR[name]), name)
