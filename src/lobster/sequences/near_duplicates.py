"""Near-duplicates of proteins and nucleotides, by the similarity of their k-mers."""

import math
from typing import Any

from lobster.constants import Modality

# Letters of a word; long enough that unrelated sequences share almost none.
WORDS = {Modality.AMINO_ACID: 4, Modality.NUCLEOTIDE: 8}
# Min-hashes of a sequence, in bands of 2: 80 % identity is found in 9 of 10 proteins, 95 % always.
_SKETCH, _BANDS = 64, 32


class NearDuplicates:
    """Puts proteins or nucleotides into families: each belongs to the most similar first-comer, or founds one.

    Args:
        modality: What the sequences are.
        identity: Share of identical letters from which on two are near-duplicates, in (0, 1).

    >>> duplicates = NearDuplicates(Modality.AMINO_ACID, identity=0.8)
    >>> ubiquitin = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"
    >>> [duplicates.of(s) == ubiquitin for s in (ubiquitin, ubiquitin.replace("R", "K"), ubiquitin[::-1])]
    [True, True, False]
    """

    def __init__(self, modality: Modality, identity: float):
        from rensa import RMinHashLSH

        self._word = word = WORDS[modality]
        # Mash: identity = 1 + ln(2j / (1 + j)) / k, solved for the Jaccard similarity j.
        self._similarity = 1 / (2 * math.exp(word * (1 - identity)) - 1)
        self._index = RMinHashLSH(threshold=self._similarity, num_perm=_SKETCH, num_bands=_BANDS)
        self._founders: list[tuple[str, Any]] = []

    def of(self, sequence: str) -> str:
        """Return the founder of a sequence's family; itself, which founds one, where it is like none before it."""
        from rensa import RMinHash

        words = [sequence[i : i + self._word] for i in range(len(sequence) - self._word + 1)]
        if not words:
            return sequence
        sketch = RMinHash(num_perm=_SKETCH, seed=0)
        sketch.update(words)
        near = [(sketch.jaccard(self._founders[i][1]), -i) for i in self._index.query(sketch)]
        if near and max(near)[0] >= self._similarity:
            return self._founders[-max(near)[1]][0]
        self._index.insert(len(self._founders), sketch)
        self._founders.append((sequence, sketch))
        return sequence
