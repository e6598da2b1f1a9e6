"""Memory of what was rewarded already: each molecule pays once."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

MEMORY_FILE = "novelty_memory.npy"


class NoveltyMemory:
    """Remembers molecules over a whole run and all its processes, so that each is paid for once.

    A likelihood reward alone collapses to the one molecule that it likes best; a molecule that stops paying once it has
    been written keeps the policy moving. Within one call the first occurrence pays, in the order of the processes.

    It keeps 8 bytes for each molecule (a 64-bit BLAKE2 digest).

    >>> memory = NoveltyMemory()
    >>> memory.novel(["SMILES:CCO", "SMILES:CCO", None])
    [True, False, False]
    >>> memory.novel(["SMILES:CCO", "SMILES:CCN"])
    [False, True]
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._paused = False

    def __len__(self) -> int:
        return len(self._seen)

    def novel(self, keys: Sequence[str | None]) -> list[bool]:
        """Say which keys are new, and remember them. None is never new.

        Where several processes run, all must call it together, each with its own keys.
        """
        if self._paused:
            return [key is not None for key in keys]
        answers: list[bool] = []
        everyone, own = _all_processes([None if key is None else _digest(key) for key in keys])
        for rank, digests in enumerate(everyone):
            fresh = []
            for digest in digests:
                fresh.append(digest is not None and digest not in self._seen)
                if digest is not None:
                    self._seen.add(digest)
            if rank == own:
                answers = fresh
        return answers

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Remember nothing and call everything new, for an evaluation."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def save(self, folder: str | Path) -> None:
        """Write the memory into a folder."""
        np.save(Path(folder) / MEMORY_FILE, np.array(sorted(self._seen), dtype=np.uint64), allow_pickle=False)

    def load(self, folder: str | Path) -> None:
        """Replace the memory by what `save` wrote.

        Raises:
            FileNotFoundError: The folder has none: a run that resumes without it would pay for old molecules again.
        """
        file = Path(folder) / MEMORY_FILE
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} does not exist: the checkpoint was written by a run without a novelty memory. "
                "Resume with pay_once=False, or start anew"
            )
        self._seen = set(np.load(file, allow_pickle=False).tolist())


def _digest(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())


def _all_processes(digests: list[int | None]) -> tuple[list[list[int | None]], int]:
    """Return every process's digests, in order, and the number of this process."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return [digests], 0
    from accelerate.utils import gather_object

    return gather_object([digests]), dist.get_rank()
