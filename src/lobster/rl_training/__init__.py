"""GRPO with a UME reward. TRL, which takes a second to import, is imported when a trainer is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lobster.rl_training.diversity import DiversityMemory
from lobster.rl_training.guards import RunGuard
from lobster.rl_training.reward_functions import (
    UmeReward,
    UmeRewardFunction,
    compute_pseudo_likelihood,
    create_ume_reward_wrapper,
)
from lobster.rl_training.top_sequences import TopSequences

if TYPE_CHECKING:
    from lobster.rl_training.run_file import read_run
    from lobster.rl_training.trainers import UmeGRPOTrainer, create_ume_grpo_trainer, train_ume_grpo

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

_WITH_TRL = {
    "UmeGRPOTrainer": "trainers",
    "create_ume_grpo_trainer": "trainers",
    "read_run": "run_file",
    "train_ume_grpo": "trainers",
}


def __getattr__(name: str) -> Any:
    if name not in _WITH_TRL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_TRL[name]}"), name)
