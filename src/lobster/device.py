"""The one rule for where a model runs and in which precision."""

import os
import time
import warnings
from collections.abc import Callable
from functools import cache

import torch


@cache
def _warn_once(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=3)


def resolve_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device to use: what was asked for where the machine has it, else the CPU with one warning.

    ``None`` means CUDA where there is one. ``"cuda"`` without an index is this process's own GPU (``LOCAL_RANK``), so
    that processes started by ``torchrun`` or ``accelerate launch`` do not share one.

    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    resolved = torch.device(device)
    if resolved.type != "cuda":
        return resolved
    if not torch.cuda.is_available():
        _warn_once(f"device {str(device)!r} was asked for, but CUDA is not available here: using the CPU")
        return torch.device("cpu")
    return resolved if resolved.index is not None else torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def resolve_dtype(device: torch.device, dtype: torch.dtype | None = None) -> torch.dtype:
    """Return the precision to use: float32 on a CPU always, elsewhere what was asked for (float32 by default).

    On a CPU without native support, bfloat16 matrix products ran 100 times slower than float32.

    >>> resolve_dtype(torch.device("cpu"), torch.bfloat16)
    torch.float32
    """
    return torch.float32 if device.type == "cpu" or dtype is None else dtype


def peak_flops(
    device: torch.device,
    dtype: torch.dtype,
    size: int = 2048,
    repeats: int = 6,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Measure the rate of a large square matrix product on a device, in FLOP/s: what everything else is held against."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(repeats):
        start = clock()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(clock() - start)
    return 2 * size**3 / min(seconds)
