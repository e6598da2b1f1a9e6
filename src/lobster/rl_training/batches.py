"""Settings that TRL would refuse late, or silently not train on, told before training with what would do."""

import math
import os
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from datasets import Dataset, concatenate_datasets
from trl import GRPOConfig

# What TRL takes as it is: the first step fails, or the policy is trained away from its anchor.
_BOUNDS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "temperature": ("above 0", lambda value: 0 < value < math.inf),
    "top_p": ("above 0, at most 1", lambda value: 0 < value <= 1),
    "max_completion_length": ("above 0", lambda value: value > 0),
    "learning_rate": ("of at least 0", lambda value: 0 <= value < math.inf),
    "beta": ("of at least 0, which is no anchor", lambda value: 0 <= value < math.inf),
}


def check_bounds(settings: Mapping[str, Any]) -> None:
    """Check that numbers are such that a policy can be trained with them.

    Args:
        settings: Arguments of `trl.GRPOConfig`.

    Raises:
        ValueError: One is out of its bounds, or no number.
    """
    for name, (expected, fits) in _BOUNDS.items():
        value = settings.get(name)
        if value is not None and not (isinstance(value, Real) and fits(float(value))):
            raise ValueError(f"{name} is {value!r}: expected a number {expected}")


def check_batches(settings: Mapping[str, Any], dataset: Any) -> Any:
    """Check that a generation batch divides into groups, and that there are prompts for it.

    Args:
        settings: Arguments of `trl.GRPOConfig`; what is left out has TRL's default.
        dataset: The prompts.

    Returns:
        The prompts; where there is but one, as often as a generation batch has groups.

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
    if not isinstance(dataset, Dataset) or len(dataset) >= needed:
        return dataset
    if len(dataset) == 1:
        return concatenate_datasets([dataset] * needed)
    fitting = next(d for d in range(generations, batch + 1) if batch % d == 0 and batch // d <= len(dataset))
    raise ValueError(
        f"train_dataset has {len(dataset)} prompts, a generation batch of {batch} with num_generations={generations} "
        f"needs {needed}: raise num_generations to {fitting} or repeat the prompts"
    )
