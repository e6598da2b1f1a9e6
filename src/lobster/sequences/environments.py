"""The surroundings of a molecule's atoms, and which of them real molecules have: what is made up often has others."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any

from lobster.sequences.chemistry import molecule

RADII = (1, 2)
_ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
_RARE = 1e-5  # share of the molecules of a corpus; what fewer have are mistakes, or what few could make again


def atom_environments(smiles: str, radii: tuple[int, ...] = RADII) -> list[list[int]]:
    """Return the different environments of a molecule's atoms, of each radius that it has; a lone atom has none.

    An environment is an atom with all that is within one or two bonds of it (as in Morgan fingerprints: Rogers and Hahn, J. Chem. Inf.
    Model. 50, 2010); an atom is its element, neighbours, hydrogens, charge, aromaticity and smallest ring.

    Raises:
        ValueError: RDKit cannot parse it.

    >>> [len(of_radius) for of_radius in atom_environments("CCO")], atom_environments("C")
    ([3, 3], [])
    """
    from rdkit.Chem import rdFingerprintGenerator

    mol = molecule(smiles)
    output = rdFingerprintGenerator.AdditionalOutput()
    output.AllocateBitInfoMap()
    _generator().GetSparseCountFingerprint(mol, customAtomInvariants=_invariants(mol), additionalOutput=output)
    found: dict[int, list[int]] = {radius: [] for radius in radii}
    for environment, places in output.GetBitInfoMap().items():
        for radius in {radius for _, radius in places} & found.keys():
            found[radius].append(environment)
    return [of_radius for of_radius in found.values() if of_radius]


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

    return rdFingerprintGenerator.GetMorganGenerator(radius=max(RADII), includeRedundantEnvironments=True)


def neighbourhoods(smiles: str) -> set[int]:
    """Return the environments of radius 1.

    >>> neighbourhoods("OCC") == neighbourhoods("CCO")
    True
    """
    return set(chain.from_iterable(atom_environments(smiles, (1,))))


@cache
def real_neighbourhoods() -> frozenset[int]:
    """Return those of real molecules, as ``python -m lobster.pretraining neighbourhoods`` has printed them.

    Raises:
        RuntimeError: Another release of RDKit numbers them otherwise.

    >>> neighbourhoods("Cc1ccccc1") <= real_neighbourhoods(), neighbourhoods("FOCC") <= real_neighbourhoods()
    (True, False)
    """
    found = frozenset(map(int, files("lobster.sequences").joinpath("neighbourhoods.txt").read_text().split()))
    if not neighbourhoods(_ASPIRIN) <= found:
        raise RuntimeError(
            "this release of RDKit numbers atom environments otherwise than 2025.3 to 2026.9 do: install one of those"
        )
    return found


def common_neighbourhoods(molecules: Iterable[str]) -> list[int]:
    """Return those that at least two of some molecules have, and one in a hundred thousand, in the order of the numbers.

    Raises:
        ValueError: RDKit cannot parse one.

    >>> common_neighbourhoods(["CCO", "CCN"]) == sorted(neighbourhoods("CCO") & neighbourhoods("CCN"))
    True
    """
    of_each = [neighbourhoods(smiles) for smiles in molecules]
    counts = Counter(chain.from_iterable(of_each))
    least = max(2, round(_RARE * len(of_each)))
    return sorted(found for found, count in counts.items() if count >= least)
