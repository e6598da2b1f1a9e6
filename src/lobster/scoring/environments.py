"""How common the surroundings of a molecule's atoms are in a reference."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Self

from lobster.sequences.chemistry import molecule

_RADII = (1, 2)
_UNSEEN = 0.5  # molecules of the reference in which an environment counts that is in none


class Environments:
    """Counts in how many molecules of a reference each atom environment comes.

    An environment is an atom with all that is within one or two bonds of it (as in Morgan fingerprints: Rogers and Hahn, J. Chem. Inf.
    Model. 50, 2010); an atom is its element, neighbours, hydrogens, charge, aromaticity and smallest ring. What a molecule is worth
    is the mean over its atoms and the two radii of the logarithm of that share of the molecules: the idea of the fragment
    contributions of Ertl and Schuffenhauer's SA score (J. Cheminform. 1, 2009), with a reference of one's own.

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
            counts.update({e for of_radius in _environments(smiles) for e in of_radius})
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
        for of_radius in _environments(smiles):
            shares = [max(self.counts.get(e, 0) - known, _UNSEEN) / self.size for e in of_radius]
            means.append(sum(math.log(share) for share in shares) / len(shares))
        return sum(means) / len(means) if means else math.log(_UNSEEN / self.size)


def _environments(smiles: str) -> list[list[int]]:
    """Return the different environments of a molecule's atoms, of each radius."""
    from rdkit.Chem import rdFingerprintGenerator

    mol = molecule(smiles)
    output = rdFingerprintGenerator.AdditionalOutput()
    output.AllocateBitInfoMap()
    _generator().GetSparseCountFingerprint(mol, customAtomInvariants=_invariants(mol), additionalOutput=output)
    found: dict[int, list[int]] = {radius: [] for radius in _RADII}
    for environment, places in output.GetBitInfoMap().items():
        for radius in {radius for _, radius in places} & found.keys():
            found[radius].append(environment)
    return [of_radius for of_radius in found.values() if of_radius]  # a lone atom has none


def _invariants(mol: Any) -> list[int]:
    """Return a number below 2^32 for what each atom is: 3 bits for a ring's size from 3 to 9, 0 for none, and so on."""
    rings = mol.GetRingInfo()
    return [
        (
            ((((a.GetAtomicNum() << 4) | a.GetDegree()) << 4 | a.GetTotalNumHs()) << 5 | a.GetFormalCharge() + 16) << 4
            | a.GetIsAromatic() << 3
            | max(0, min(rings.MinAtomRingSize(a.GetIdx()), 9) - 2)
        )
        & 0xFFFFFFFF
        for a in mol.GetAtoms()
    ]


@cache
def _generator() -> Any:
    from rdkit.Chem import rdFingerprintGenerator

    return rdFingerprintGenerator.GetMorganGenerator(radius=max(_RADII), includeRedundantEnvironments=True)
