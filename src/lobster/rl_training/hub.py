"""A ready reward for TRL's own command line: `trl grpo --reward_funcs lobster.rl_training.hub.ume_reward`."""

import os
from functools import cache
from typing import Any

from lobster.rl_training.reward_functions import create_ume_reward_wrapper
from lobster.rl_training.trl_reward import UmeReward

ENCODER = "ume-mini-base-12M"


@cache
def _reward() -> UmeReward:
    from lobster.model import load_encoder

    return create_ume_reward_wrapper(load_encoder(os.environ.get("LOBSTER_ENCODER", ENCODER)))


def ume_reward(prompts: Any = None, completions: Any = None, **columns: Any) -> list[float]:
    """Return the reward of each completion, as `UmeReward` with its defaults; the encoder is loaded at the first call.

    The environment variable ``LOBSTER_ENCODER`` names another one than ``ume-mini-base-12M``; in TRL's YAML it stands under
    ``env:``. Each molecule pays as often as it comes; `create_ume_grpo_trainer` and `lobster grpo` have a memory, a guard and
    defaults against what follows from that.

    Args:
        prompts: The prompts.
        completions: What the policy wrote.
        columns: What else TRL passes; `modality` says what each completion must be.

    >>> valid, invalid = ume_reward(completions=["CC(=O)Oc1ccccc1C(=O)O", "C1CC"])
    >>> valid > invalid == 0
    True
    """
    return _reward()(prompts, completions, **columns)
