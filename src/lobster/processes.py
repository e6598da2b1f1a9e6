"""What all processes of a run have to agree on, their failures among it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

Row = TypeVar("Row")


class ProcessFailedError(RuntimeError):
    """One of several processes failed; each of them raises this."""


def from_all_processes(rows: list[Row], failure: Exception | None = None) -> tuple[list[list[Row]], int]:
    """Return the rows of every process, in the order of the processes, and the number of this one.

    Where several processes run, all must call it together.

    Args:
        rows: What this process has to say.
        failure: What it says instead where it failed.

    Raises:
        ProcessFailedError: There are several processes and some failed, `failing_together`: what the first of those said.
    """
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return [rows], 0
    from accelerate.utils import gather_object

    said = None if failure is None else f"{type(failure).__name__}: {failure}"
    everyone = gather_object([(rows, said)])
    for number, (_, said) in enumerate(everyone):
        if said is not None:
            raise ProcessFailedError(f"process {number} failed: {said}") from failure
    return [theirs for theirs, _ in everyone], dist.get_rank()


@contextmanager
def failing_together() -> Iterator[None]:
    """Let what one process raises end all of them, so that none waits for one that is gone.

    All must enter it together, as a block or, as a decorator, a function. A process that fails says so where it meets the
    others next: at a call of `from_all_processes` of theirs within, or else at the end. A single process raises what it raised.

    >>> with failing_together():
    ...     raise ValueError("alone")
    Traceback (most recent call last):
    ValueError: alone
    """
    try:
        yield
    except ProcessFailedError:  # all know
        raise
    except Exception as error:
        from_all_processes([], error)
        raise
    else:
        from_all_processes([])


def digest(text: str) -> int:
    """Return 64 bits of BLAKE2 that stand for a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
