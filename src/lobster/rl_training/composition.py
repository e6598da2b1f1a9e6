"""How often each letter comes in what a policy writes, held near to where the policy started."""

from collections.abc import Sequence

import numpy as np

_START = 256  # sequences that say where the policy started
_KEPT = 0.8  # what is left of the latest counts after another batch
_PRIOR = 10  # counts that each letter has before any: what is rarer says little
_LETTERS = 128  # ASCII


class Composition:
    """Pays less for sequences of letters that have become more frequent than they were at the start of a run.

    The quickest way to a higher likelihood often is another composition: alanine in proteins, G and C in genes. Here a
    sequence in which letter a has the share c_a earns

        min(1, exp(−weight · Σ_a (c_a − p_a) · log(q_a / p_a)))

    where p are the shares of the letters in the first 256 sequences of the run, and q those in the latest, about 5
    batches. The exponent is what the sequence adds to the Kullback-Leibler divergence of q from p, so that it
    is the population that is held, not each sequence: an unusual one is paid in full while there are not too many of its kind.

    Args:
        weight: Of the divergence. The larger, the nearer the population stays to the start.

    >>> held = Composition(weight=10)
    >>> held.pay(["acgt" * 50] * 256) == [1.0] * 256
    True
    >>> many, few = [held.pay(["acgg" * 50] * 200 + ["acct" * 50])[199:] for _ in range(3)][-1]
    >>> many < few == 1.0
    True
    """

    def __init__(self, weight: float):
        self.weight = weight
        self._sequences = 0
        self._start, self._latest = np.zeros(_LETTERS), np.zeros(_LETTERS)

    def pay(self, sequences: Sequence[str]) -> list[float]:
        """Return the share that each sequence, of ASCII letters, earns, in (0, 1], and remember them all."""
        if not sequences:
            return []
        counts = np.stack([np.bincount(np.frombuffer(s.encode(), np.uint8), minlength=_LETTERS) for s in sequences])
        excess = np.zeros(len(sequences))
        if self._sequences >= _START:
            p, q = ((_PRIOR + n) / (_PRIOR + n).sum() for n in (self._start, self._latest))
            excess = (counts / counts.sum(1, keepdims=True) - p) @ np.log(q / p)
        else:
            self._sequences += len(sequences)
            self._start += counts.sum(0)
        self._latest = _KEPT * self._latest + counts.sum(0)
        return np.exp(-self.weight * np.maximum(excess, 0)).tolist()

    def state(self) -> dict[str, object]:
        """Return what it remembers, for JSON."""
        return {"sequences": self._sequences, "start": self._start.tolist(), "latest": self._latest.tolist()}

    def restore(self, state: dict) -> None:
        """Remember what `state` returned."""
        self._sequences = state["sequences"]
        self._start, self._latest = np.array(state["start"]), np.array(state["latest"])
