"""Files of sequences, and the batches that a training run makes of them."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from lobster.constants import Modality


class CorpusError(ValueError):
    """A corpus file cannot be used."""


def read_sequences(file: str | Path) -> list[str]:
    """Read a FASTA file, or one sequence a line (the first word counts), plain or gzipped.

    Raises:
        CorpusError: The file holds no sequence or is not text.
        FileNotFoundError: There is no such file.
    """
    opener: Any = gzip.open if str(file).endswith(".gz") else open
    try:
        with opener(file, "rt") as lines:
            sequences = list(_sequences(lines))
    except (UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise CorpusError(f"{file} is not a text file, plain or gzipped: {error}") from error
    if not sequences:
        raise CorpusError(f"{file} holds no sequences: expected FASTA, or one sequence a line")
    return sequences


def _sequences(lines: Iterator[str]) -> Iterator[str]:
    """Tell FASTA by its first character."""
    record: list[str] | None = None
    for line in map(str.strip, lines):
        if line.startswith(">"):
            if record:
                yield "".join(record)
            record = []
        elif not line:
            continue
        elif record is None:
            yield line.split()[0]
        else:
            record.append(line)
    if record:
        yield "".join(record)


class Batches(Dataset):
    """A data set whose items are whole batches of sequences of about one length and of one modality.

    The order of the items, what is in them and every later random choice follow from ``seed`` and the item's number,
    so a run that resumes sees what an unbroken run would.

    Args:
        corpora: Sequences of each modality.
        num_batches: How many batches to make; a corpus that is too small is gone through again.
        tokens: Padded tokens in a batch, about.
        max_length: Longest input in tokens; a longer sequence is cut to a random window of that length.
        mixture: Share of the batches of each modality; equal shares by default.
        seed: Seed of every random choice.
    """

    def __init__(
        self,
        corpora: dict[Modality, list[str]],
        num_batches: int,
        tokens: int,
        max_length: int,
        mixture: dict[Modality, float] | None = None,
        seed: int = 0,
    ):
        self.corpora, self.max_length, self.seed = corpora, max_length, seed
        shares = np.array([(mixture or {}).get(m, 0.0 if mixture else 1.0) for m in corpora])
        if shares.sum() <= 0:
            raise CorpusError(f"the mixture {mixture} leaves nothing of the corpora {', '.join(corpora)}")
        ends = np.round(shares.cumsum() / shares.sum() * num_batches).astype(int)
        counts = np.diff(ends, prepend=0)
        rng = np.random.default_rng(seed)
        items: list[tuple[Modality, np.ndarray]] = []
        for (modality, sequences), count in zip(corpora.items(), counts, strict=True):
            items += _cut(modality, sequences, count, tokens, max_length, rng)
        self.items = [items[i] for i in rng.permutation(len(items))]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> tuple[Modality, list[str], np.random.Generator]:
        """Return the modality, the sequences, and the generator for what else is random in this batch."""
        modality, members = self.items[number]
        rng = np.random.default_rng((self.seed, number))
        sequences = [self.corpora[modality][i] for i in members]
        return modality, [self._window(s, rng) if modality is not Modality.SMILES else s for s in sequences], rng

    def _window(self, sequence: str, rng: np.random.Generator) -> str:
        excess = len(sequence) - (self.max_length - 2)
        start = rng.integers(excess + 1) if excess > 0 else 0
        return sequence[start : start + self.max_length - 2]


def _cut(
    modality: Modality, sequences: list[str], count: int, tokens: int, max_length: int, rng: np.random.Generator
) -> list[tuple[Modality, np.ndarray]]:
    """Cut a corpus, shuffled and sorted by length, into batches; pick ``count`` of them, each as often as the others."""
    if count == 0:
        return []
    lengths = np.minimum([len(s) + 2 for s in sequences], max_length)
    order = rng.permutation(len(sequences))
    order = order[np.argsort(lengths[order], kind="stable")]
    batches, start = [], 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and lengths[order[stop]] * (stop + 1 - start) <= tokens:
            stop += 1
        batches.append(order[start:stop])
        start = stop
    rounds = [rng.permutation(len(batches)) for _ in range(-(-count // len(batches)))]
    return [(modality, batches[i]) for i in np.concatenate(rounds)[:count]]
