"""How often each letter comes in what a policy writes, held near to where the policy started."""

from collections.abc import Sequence

import numpy as np

_START = 256  # sequences that say where the policy started
_KEPT = 0.8  # what is left of the latest counts after another batch
_RATE = 0.04  # share of a drift that is held against for good, a batch
_MOST = 1.25  # share that a sequence of what has become rare can earn
_PRIOR = 1000  # letters as frequent as at the start, added to the latest: what is rare says little
_LETTERS = 128  # ASCII
_UNSEEN = 1e-3  # count of a letter that has not come at the start


class Composition:
    """Pays less for letters that have become more frequent than they were at the start of a run, and more for rarer ones.

    The quickest way to a higher likelihood often is another composition: alanine in proteins, G and C in genes. Here a
    sequence in which letter a has the share c_a earns

        exp(−Σ_a (c_a − p_a) · m_a),    m_a = weight · (d_a + 0.04 · Σ d_a over the batches before),    d_a = log(q_a / p_a)

    and 1.25 at most. p are the shares of the letters in the first 256 sequences of the run, and q those in the latest, about
    5 batches. The first term is the gradient of the Kullback-Leibler divergence of q from p; the sum makes of it the
    multiplier of a constraint, which grows until the population's letters are what they were (dual ascent: Boyd and
    Vandenberghe, "Convex Optimization", 2004, chapter 5). It is the population that is held, not each sequence: an unusual one
    is paid in full while there are not too many of its kind.

    Args:
        weight: The larger, the faster a drift is met, and the louder its noise.

    >>> held = Composition(weight=3)
    >>> held.pay(["acgt" * 50] * 256) == [1.0] * 256
    True
    >>> many, few = [held.pay(["acgg" * 50] * 200 + ["acct" * 50])[199:] for _ in range(3)][-1]
    >>> many < 1 < few
    True
    """

    def __init__(self, weight: float):
        self.weight = weight
        self._sequences = 0
        self._start, self._latest, self._drift = np.zeros((3, _LETTERS))

    def pay(self, sequences: Sequence[str]) -> list[float]:
        """Return the share that each sequence, of ASCII letters, earns, in (0, 1.25], and remember them all."""
        if not sequences:
            return []
        counts = np.stack([np.bincount(np.frombuffer(s.encode(), np.uint8), minlength=_LETTERS) for s in sequences])
        excess = np.zeros(len(sequences))
        if self._sequences >= _START:
            p = (_UNSEEN + self._start) / (_UNSEEN + self._start).sum()
            q = (_PRIOR * p + self._latest) / (_PRIOR + self._latest.sum())
            drift = np.log(q / p)
            excess = self.weight * ((counts / counts.sum(1, keepdims=True) - p) @ (drift + self._drift))
            self._drift = self._drift + _RATE * drift
        else:
            self._sequences += len(sequences)
            self._start = self._start + counts.sum(0)
        self._latest = _KEPT * self._latest + counts.sum(0)
        return np.minimum(np.exp(-excess), _MOST).tolist()

    def state(self) -> dict[str, object]:
        """Return what it remembers, for JSON."""
        arrays = {"start": self._start, "latest": self._latest, "drift": self._drift}
        return {"sequences": self._sequences} | {name: array.tolist() for name, array in arrays.items()}

    def restore(self, state: dict) -> None:
        """Remember what `state` returned."""
        self._sequences = state["sequences"]
        self._start, self._latest, self._drift = (np.array(state[name]) for name in ("start", "latest", "drift"))
