"""What chemistry knows: the surroundings of single atoms in real molecules. What a search makes up often has others."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from lobster.sequences.chemistry import molecule

LEAST = 10  # of 719,735 real molecules: rarer ones are mistakes, or what few could make again


@cache
def _generator() -> Any:
    from rdkit.Chem import rdFingerprintGenerator

    return rdFingerprintGenerator.GetMorganGenerator(radius=1)


def environments(smiles: str) -> set[int]:
    """Return what surrounds each atom of a molecule: Morgan's identifiers of radius 0 and 1.

    They tell apart an atom's element, charge, hydrogens, neighbours and whether it is in a ring, and of the neighbours the
    same with the bonds to them (Rogers and Hahn, "Extended-connectivity fingerprints", 2010).

    Raises:
        ValueError: RDKit cannot parse it.

    >>> len(environments("CCO")), environments("OCC") == environments("CCO")
    (6, True)
    """
    return set(_generator().GetSparseCountFingerprint(molecule(smiles)).GetNonzeroElements())


@cache
def real_environments() -> frozenset[int]:
    """Return the environments of real molecules, those that ``python -m lobster.pretraining environments`` has printed.

    >>> environments("Cc1ccccc1") <= real_environments(), environments("FOCC") <= real_environments()
    (True, False)
    """
    return frozenset(map(int, files("lobster.sequences").joinpath("environments.txt").read_text().split()))


def common_environments(molecules: Iterable[str], least: int) -> list[int]:
    """Return the environments that at least so many of some molecules have, in the order of the numbers.

    Raises:
        ValueError: RDKit cannot parse one.

    >>> common_environments(["CCO", "CCN"], least=2) == sorted(environments("CCO") & environments("CCN"))
    True
    """
    counts = Counter(found for smiles in molecules for found in environments(smiles))
    return sorted(found for found, count in counts.items() if count >= least)
