"""n-gram models of token ids: the baselines that an encoder has to beat."""

from collections.abc import Sequence

import numpy as np


class NGram:
    """An interpolated n-gram model with Witten-Bell smoothing, of left contexts; order 1 is a unigram model.

    p(w | h) = (c(hw) + T(h)·p(w | h'))/(c(h) + T(h)), where c counts, T(h) is the number of different tokens seen after the
    context h, and h' is h without its first token; without a context, p is even over the tokens seen and one unseen.

    Args:
        sequences: Token ids to count.
        order: Longest n-gram.

    Source: Witten and Bell, "The zero-frequency problem", IEEE Transactions on Information Theory 37, 1991.

    >>> model = NGram([[5, 6, 5, 6, 5, 6]], order=2)
    >>> np.exp(model.log_probabilities([[5, 6, 6]])[0]).round(2).tolist()
    [0.73, 0.86, 0.15]
    """

    def __init__(self, sequences: Sequence[Sequence[int]], order: int = 5):
        self.order = order
        self._tokens = np.unique(np.concatenate([np.asarray(s) for s in sequences]))
        self._base = len(self._tokens) + 2  # code 0 stands before a sequence, 1 is a token never seen
        if self._base**order >= 2**63:
            raise ValueError(f"{len(self._tokens)} different tokens are too many for {order}-grams")
        windows = self._windows(sequences)
        self._grams: list[tuple[np.ndarray, np.ndarray]] = []  # of each order: keys, counts
        self._contexts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # keys, counts, different followers
        for n in range(1, order + 1):
            keys, counts = np.unique(self._key(windows[:, order - n :]), return_counts=True)
            contexts, which, followers = np.unique(keys // self._base, return_inverse=True, return_counts=True)
            self._grams.append((keys, counts))
            self._contexts.append((contexts, np.bincount(which, weights=counts), followers))

    def log_probabilities(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Return log p of each token given those before it, one array a sequence."""
        log_p = np.log(self._probabilities(self._windows(sequences)))
        return np.split(log_p, np.cumsum([len(s) for s in sequences])[:-1])

    def accuracy(self, sequences: Sequence[Sequence[int]]) -> float:
        """Return how often the likeliest token, given those before it, is the true one."""
        windows = self._windows(sequences)
        windows = windows[: max(1, 4_000_000 // self._base)]
        guesses = np.repeat(windows, self._base - 2, axis=0)
        guesses[:, -1] = np.tile(np.arange(2, self._base), len(windows))
        best = self._probabilities(guesses).reshape(len(windows), -1).argmax(1) + 2
        return float((best == windows[:, -1]).mean())

    def _windows(self, sequences: Sequence[Sequence[int]]) -> np.ndarray:
        """Return the codes of each token and of the order − 1 before it, (tokens, order)."""
        before = np.zeros(self.order - 1, dtype=np.int64)
        padded = np.concatenate([part for s in sequences for part in (before, self._codes(np.asarray(s)))])
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.order)
        return windows[windows[:, -1] > 0]

    def _codes(self, ids: np.ndarray) -> np.ndarray:
        at = np.searchsorted(self._tokens, ids).clip(max=len(self._tokens) - 1)
        return np.where(self._tokens[at] == ids, at + 2, 1)

    def _key(self, windows: np.ndarray) -> np.ndarray:
        return windows @ self._base ** np.arange(windows.shape[1])[::-1]

    def _probabilities(self, windows: np.ndarray) -> np.ndarray:
        p = np.full(len(windows), 1 / (self._base - 1))
        for n, ((keys, counts), (contexts, totals, followers)) in enumerate(
            zip(self._grams, self._contexts, strict=True), start=1
        ):
            key = self._key(windows[:, self.order - n :])
            count = _look_up(keys, counts, key)
            total, different = (_look_up(contexts, values, key // self._base) for values in (totals, followers))
            p = np.where(total > 0, (count + different * p) / np.maximum(total + different, 1), p)
        return p


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the values of keys, 0 for those that are not there."""
    at = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)
