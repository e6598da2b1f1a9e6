"""What the sequences of a policy are made of, held near to where the policy started."""

from collections.abc import Sequence

import numpy as np

from lobster.constants import Modality
from lobster.scoring.molecules import molecule

_START = 256  # sequences that say where the policy started
_KEPT = 0.8  # what is left of the latest counts after another batch
_PRIOR = 10  # counts that each element has before any: what is rarer says little
_LETTERS = 128
_ENVIRONMENTS = 1024


class Composition:
    """Pays less for sequences made of what has become more frequent than it was at the start of a run.

    The quickest way to a higher likelihood often is another composition: alanine in proteins, G and C in genes, amides of
    anilines in molecules. Here a sequence that has the share c_a of element a earns

        min(1, exp(−weight · Σ_a (c_a − p_a) · log(q_a / p_a)))

    where p are the shares of the elements in the first 256 sequences of the run, and q those in the latest, about 5
    batches. Elements are the letters of proteins and nucleotides, and the atoms' environments of SMILES (Morgan, up to
    radius 2, folded to 1,024). The exponent is what the sequence adds to the Kullback-Leibler divergence of q from p, so that it
    is the population that is held, not each sequence: an unusual one is paid in full while there are not too many of its kind.

    Args:
        weight: Of the divergence. The larger, the nearer the population stays to the start.
        modality: What the sequences are.

    >>> held = Composition(10, Modality.NUCLEOTIDE)
    >>> held.pay(["acgt" * 50] * 256) == [1.0] * 256
    True
    >>> many, few = [held.pay(["acgg" * 50] * 200 + ["acct" * 50])[199:] for _ in range(3)][-1]
    >>> many < few == 1.0
    True
    """

    def __init__(self, weight: float, modality: Modality):
        self.weight, self.modality = weight, modality
        self._sequences = 0
        self._start = np.zeros(_ENVIRONMENTS if modality is Modality.SMILES else _LETTERS)
        self._latest = self._start.copy()

    def pay(self, sequences: Sequence[str]) -> list[float]:
        """Return the share that each sequence, in its normal form, earns, in (0, 1], and remember them all."""
        if not sequences or not self.weight:
            return [1.0] * len(sequences)
        counts = np.stack([self._count(s) for s in sequences])
        excess = np.zeros(len(sequences))
        if self._sequences >= _START:
            p, q = ((_PRIOR + n) / (_PRIOR + n).sum() for n in (self._start, self._latest))
            excess = (counts / counts.sum(1, keepdims=True) - p) @ np.log(q / p)
        else:
            self._sequences += len(sequences)
            self._start += counts.sum(0)
        self._latest = _KEPT * self._latest + counts.sum(0)
        return np.exp(-self.weight * np.maximum(excess, 0)).tolist()

    def _count(self, sequence: str) -> np.ndarray:
        if self.modality is not Modality.SMILES:
            return np.bincount(np.frombuffer(sequence.encode(), np.uint8), minlength=_LETTERS)
        from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

        generator = GetMorganGenerator(radius=2, fpSize=_ENVIRONMENTS)
        return generator.GetCountFingerprintAsNumPy(molecule(sequence)).astype(np.int64)

    def state(self) -> dict[str, object]:
        """Return what it remembers, for JSON."""
        return {"sequences": self._sequences, "start": self._start.tolist(), "latest": self._latest.tolist()}

    def restore(self, state: dict) -> None:
        """Remember what `state` returned."""
        self._sequences = state["sequences"]
        self._start, self._latest = np.array(state["start"]), np.array(state["latest"])
