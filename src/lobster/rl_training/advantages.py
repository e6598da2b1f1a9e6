"""Advantages that GRPO learns from, bounded."""

import torch


def without_outliers(advantages: torch.Tensor, group: int, spreads: float = 3.0) -> torch.Tensor:
    """Return advantages, (batch,), none of which is further below the median of its group than some spreads.

    A failure earns 0. Where what succeeds earns 6.0 ± 0.5, a single one would have the gradient of a hundred others. A spread is the
    median distance from the median × 1.48, the standard deviation of normal numbers; where it is 0, all are left as they are.

    Args:
        advantages: How much better each completion is than others of its group.
        group: Completions in a row that answer one prompt; the batch is a multiple of it.
        spreads: How many.

    >>> without_outliers(torch.tensor([0.2, -0.1, 0.1, 0.3, -0.2, -6.0]), group=6)
    tensor([ 0.3149,  0.0149,  0.2149,  0.4149, -0.0851, -0.8746])
    """
    groups = advantages.unflatten(0, (-1, group))
    middle = groups.median(1, keepdim=True).values
    spread = 1.4826 * (groups - middle).abs().median(1, keepdim=True).values
    bounded = torch.where(spread > 0, groups.maximum(middle - spreads * spread), groups)
    return (bounded - bounded.mean(1, keepdim=True)).flatten(0, 1)
