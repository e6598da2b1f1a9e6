"""The batches of a training run: length-homogeneous, mixed over modalities, the same every time."""

from collections.abc import Mapping

import numpy as np
from torch.utils.data import Dataset

from lobster.constants import Modality
from lobster.pretraining.corpus import CorpusError, TokenCorpus


class Batches(Dataset):
    """A data set whose items are whole batches of sequences of about one length and of one modality.

    The order of the items, what is in them and every later random choice follow from ``seed`` and the item's number,
    so a run that resumes sees what an unbroken run would.

    Args:
        corpora: Sequences of each modality.
        num_batches: How many batches to make; a corpus that is too small is gone through again.
        tokens: Padded tokens in a batch, the two special tokens of each sequence included, about.
        max_length: Longest input in tokens; a longer sequence is cut to a random window of that length.
        mixture: Share of the batches of each modality; equal shares by default.
        seed: Seed of every random choice.
    """

    def __init__(
        self,
        corpora: Mapping[Modality, TokenCorpus],
        num_batches: int,
        tokens: int,
        max_length: int,
        mixture: Mapping[Modality, float] | None = None,
        seed: int = 0,
    ):
        self.corpora, self.max_length, self.seed = corpora, max_length, seed
        shares = np.array([mixture.get(m, 0.0) if mixture else 1.0 for m in corpora])
        if shares.sum() <= 0:
            raise CorpusError(f"the mixture {mixture} leaves nothing of the corpora {', '.join(corpora)}")
        ends = np.round(shares.cumsum() / shares.sum() * num_batches).astype(int)
        counts = np.diff(ends, prepend=0)
        rng = np.random.default_rng(seed)
        items: list[tuple[Modality, np.ndarray]] = []
        for (modality, corpus), count in zip(corpora.items(), counts, strict=True):
            lengths = np.minimum(corpus.lengths + 2, max_length)
            items += [(modality, members) for members in _cut(lengths, count, tokens, rng)]
        self.items = [items[i] for i in rng.permutation(len(items))]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> tuple[Modality, list[np.ndarray], np.random.Generator]:
        """Return the modality, the sequences' own token ids, and the generator for what else is random in this batch."""
        modality, members = self.items[number]
        rng = np.random.default_rng((self.seed, number))
        return modality, [self._window(modality, i, rng) for i in members], rng

    def _window(self, modality: Modality, i: int, rng: np.random.Generator) -> np.ndarray:
        """Return a sequence, or where it is too long a random window; one of nucleotides starts at a codon's first base."""
        corpus = self.corpora[modality]
        length = min(int(corpus.lengths[i]), self.max_length - 2)
        step = 3 if modality is Modality.NUCLEOTIDE else 1
        start = step * int(rng.integers((int(corpus.lengths[i]) - length) // step + 1))
        return corpus.window(i, start, length)


def _cut(lengths: np.ndarray, count: int, tokens: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut a corpus, shuffled and sorted by length, into batches; pick ``count`` of them, each as often as the others."""
    if count == 0:
        return []
    order = rng.permutation(len(lengths))
    order = order[np.argsort(lengths[order], kind="stable")]
    batches, start = [], 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and lengths[order[stop]] * (stop + 1 - start) <= tokens:
            stop += 1
        batches.append(order[start:stop])
        start = stop
    rounds = [rng.permutation(len(batches)) for _ in range(-(-count // len(batches)))]
    return [batches[i] for i in np.concatenate(rounds)[:count]]
