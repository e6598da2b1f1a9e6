"""The surroundings of a molecule's atoms, and which of them real molecules have: what is made up often has others."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any

from lobster.sequences.chemistry import molecule

_ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
_RARE = 1e-5  # share of the molecules of a corpus; what fewer have are mistakes, or what few could make again


def atom_environments(smiles: str) -> list[list[int]]:
    """Return the different environments of a molecule's atoms, of radius 1 and of 2, where it has them; a lone atom has none.

    An environment is an atom with all that is within one or two bonds of it (as in Morgan fingerprints: Rogers and Hahn, J. Chem. Inf.
    Model. 50, 2010); an atom is its element, neighbours, hydrogens, charge, aromaticity and smallest ring.

    Raises:
        ValueError: RDKit cannot parse it.

    >>> [len(of_radius) for of_radius in atom_environments("CCO")], atom_environments("C")
    ([3, 3], [])
    """
    return [of_radius for of_radius in _environments(smiles, largest=2, rings=1) if of_radius]


def _environments(smiles: str, largest: int, rings: int) -> list[list[int]]:
    """Return the different environments of each radius from 1, of atoms that are told apart by so many rings."""
    from rdkit.Chem import rdFingerprintGenerator

    mol = molecule(smiles)
    output = rdFingerprintGenerator.AdditionalOutput()
    output.AllocateBitInfoMap()
    invariants = _invariants(mol, rings)
    _generator(largest).GetSparseCountFingerprint(mol, customAtomInvariants=invariants, additionalOutput=output)
    found: list[list[int]] = [[] for _ in range(largest)]
    for environment, places in output.GetBitInfoMap().items():
        for radius in {radius for _, radius in places} - {0}:
            found[radius - 1].append(environment)
    return found


def _invariants(mol: Any, rings: int) -> list[int]:
    """Return a number below 2^32 for what each atom is: 3 bits for each of its smallest rings, from 3 to 9 atoms, 0 for none."""
    found = []
    ring_sizes: list[list[int]] = [[] for _ in range(mol.GetNumAtoms())]
    for ring in mol.GetRingInfo().AtomRings():
        for index in ring:
            ring_sizes[index].append(len(ring))
    for a, sizes in zip(mol.GetAtoms(), ring_sizes, strict=True):
        number = (((a.GetAtomicNum() << 4) | a.GetDegree()) << 4 | a.GetTotalNumHs()) << 5 | a.GetFormalCharge() + 16
        number = number << 1 | a.GetIsAromatic()
        for size in [*sorted(sizes), *[0] * rings][:rings]:
            number = number << 3 | max(0, min(size, 9) - 2)
        found.append(number & 0xFFFFFFFF)
    return found


@cache
def _generator(radius: int) -> Any:
    from rdkit.Chem import rdFingerprintGenerator

    return rdFingerprintGenerator.GetMorganGenerator(radius=radius, includeRedundantEnvironments=True)


def neighbourhoods(smiles: str) -> set[int]:
    """Return the environments of radius 1; here what an atom is includes its second smallest ring.

    That tells a benzene with a short bridge, which would not be flat, from a fused one.

    >>> neighbourhoods("OCC") == neighbourhoods("CCO")
    True
    """
    return set(*_environments(smiles, largest=1, rings=2))


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
