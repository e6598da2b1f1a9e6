"""GRPO with a UME reward."""

from lobster.rl_training.diversity import DiversityMemory
from lobster.rl_training.guards import RunGuard
from lobster.rl_training.reward_functions import (
    UmeReward,
    UmeRewardFunction,
    compute_pseudo_likelihood,
    create_ume_reward_wrapper,
)
from lobster.rl_training.run_file import read_run
from lobster.rl_training.top_sequences import TopSequences
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
