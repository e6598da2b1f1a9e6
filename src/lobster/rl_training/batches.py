"""Batches that TRL would refuse, or silently not train on, told before training with the sizes that would do."""

import math
import os
from typing import Any

from datasets import Dataset
from trl import GRPOConfig


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
