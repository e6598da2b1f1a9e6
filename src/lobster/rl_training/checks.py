"""Checks of prompts and batches: what TRL would refuse late, or not at all, said in one line before training."""

import math
import os
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import GRPOConfig

from lobster.constants import Modality

_RESERVED_COLUMNS = ("prompts", "completions", "completion_ids", "trainer_state", "log_metric", "log_extra")


def check_dataset(dataset: Any, name: str) -> None:
    """Check the columns of a data set, or a stream, of prompts.

    Raises:
        ValueError: There is no prompt, a column is TRL's own, or a modality does not exist.
    """
    columns = dataset.column_names
    if columns is None:  # a stream that does not say
        return
    if "prompt" not in columns:
        raise ValueError(f"{name} has no column 'prompt', only {columns}: rename_column the one that holds the prompts")
    if reserved := [c for c in columns if c in _RESERVED_COLUMNS]:
        raise ValueError(f"{name} has the column {reserved[0]!r}, which TRL uses itself: rename_column it")
    if isinstance(dataset, Dataset):
        if len(dataset) == 0:
            raise ValueError(f"{name} is empty: it has 0 prompts, at least 1 is needed")
        if "modality" in columns:
            for value in dataset.unique("modality"):
                if value is not None:
                    Modality(value)


def check_batches(settings: dict[str, Any], dataset: Any) -> None:
    """Check that a generation batch divides into groups, and that there are prompts for it.

    Args:
        settings: Arguments of `trl.GRPOConfig`; what is left out has TRL's default.
        dataset: The prompts.

    Raises:
        ValueError: TRL would refuse the sizes, or silently end training; the message says which would do.
    """
    fields = GRPOConfig.__dataclass_fields__
    per_device, generations, accumulation, steps = (
        settings.get(name, fields[name].default)
        for name in (
            "per_device_train_batch_size",
            "num_generations",
            "gradient_accumulation_steps",
            "steps_per_generation",
        )
    )
    if generations < 2:
        raise ValueError(f"num_generations is {generations}: GRPO compares completions, it needs at least 2")
    world = int(os.environ.get("WORLD_SIZE", 1))
    batch = settings.get("generation_batch_size") or per_device * world * (steps or accumulation)
    if batch % generations:
        below, above = batch // generations * generations, -(-batch // generations) * generations
        near = [d for d in range(2, batch + 1) if batch % d == 0]
        fitting = min(near, key=lambda d: abs(d - generations)) if near else None
        sizes = " or ".join(str(size) for size in (below, above) if size)
        raise ValueError(
            f"a generation batch of {batch} completions (per_device_train_batch_size × processes × "
            f"gradient_accumulation_steps) does not divide into groups of num_generations={generations}: make the "
            f"batch {sizes}" + (f", or num_generations {fitting}" if fitting else "")
        )
    needed = batch // generations
    if isinstance(dataset, Dataset) and len(dataset) < needed:
        raise ValueError(
            f"train_dataset has {len(dataset)} prompts, a generation batch of {batch} with "
            f"num_generations={generations} needs {needed}: raise num_generations to {math.ceil(batch / len(dataset))} "
            "or repeat the prompts"
        )


def check_prompts(tokenizer: PreTrainedTokenizerBase, dataset: Any) -> None:
    """Check that a policy can begin from its prompts, and end.

    Raises:
        ValueError: There is no end token, or an empty prompt becomes no token.
    """
    if tokenizer.eos_token_id is None:
        raise ValueError("the policy's tokenizer has no eos_token: completions would never end; set one")
    if isinstance(dataset, Dataset) and "" in dataset["prompt"] and not tokenizer("").input_ids:
        raise ValueError(
            "train_dataset has an empty prompt and the policy's tokenizer adds no <bos>: prompt with its first token"
        )
