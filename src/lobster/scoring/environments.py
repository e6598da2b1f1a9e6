"""How common the surroundings of a molecule's atoms are in a reference."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Self

from lobster.sequences.environments import atom_environments

_UNSEEN = 0.5  # molecules of the reference in which an environment counts that is in none


class Environments:
    """Counts in how many molecules of a reference each atom environment comes.

    What a molecule is worth is the mean over its atoms and the two radii of the logarithm of that share of the molecules: the idea
    of the fragment contributions of Ertl and Schuffenhauer's SA score (J. Cheminform. 1, 2009), with a reference of one's own.
    What an environment is says `lobster.sequences.environments.atom_environments`.

    Args:
        size: Molecules of the reference.
        counts: Molecules of it that have an environment.

    >>> environments = Environments.of(["c1ccccc1C", "c1ccccc1O", "CCO"])
    >>> environments.commonness("Cc1ccccc1") > environments.commonness("C1CC1")
    True
    """

    def __init__(self, size: int, counts: Mapping[int, int]):
        self.size, self.counts = size, dict(counts)

    @classmethod
    def of(cls, molecules: Iterable[str], least: int = 1) -> Self:
        """Count the environments of canonical SMILES; those in less than ``least`` of them are left out."""
        counts: Counter[int] = Counter()
        size = 0
        for smiles in molecules:
            counts.update({e for of_radius in atom_environments(smiles) for e in of_radius})
            size += 1
        return cls(size, {environment: count for environment, count in counts.items() if count >= least})

    def commonness(self, smiles: str, known: bool = False) -> float:
        """Return the mean logarithm of the share of the reference that has an environment, in nats, 0 at most.

        Args:
            smiles: A canonical SMILES.
            known: Whether it is itself one of the reference, and counts for nothing.

        Raises:
            ValueError: RDKit cannot parse it.
        """
        means = []
        for of_radius in atom_environments(smiles):
            shares = [max(self.counts.get(e, 0) - known, _UNSEEN) / self.size for e in of_radius]
            means.append(sum(math.log(share) for share in shares) / len(shares))
        return sum(means) / len(means) if means else math.log(_UNSEEN / self.size)
