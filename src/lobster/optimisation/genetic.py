"""Crossover and mutation of molecular graphs (after Jensen, "A graph-based genetic algorithm", Chem. Sci. 2019), on RDKit's molecules.

A molecule is edited in its Kekulé form; what RDKit cannot sanitise afterwards is no molecule, and None comes back.
"""

from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Any

from rdkit import Chem, rdBase

from lobster.sequences import canonical_smiles
from lobster.sequences.chemistry import molecule

MAX_HEAVY_ATOMS = 60
MAX_RING = 7
_ELEMENTS = {"C": 12, "N": 6, "O": 6, "F": 2, "S": 2, "Cl": 1, "Br": 1}  # how often each is drawn
_BONDS = (Chem.BondType.SINGLE, Chem.BondType.SINGLE, Chem.BondType.DOUBLE)
_CHAIN_BOND, _END = Chem.MolFromSmarts("*-;!@*"), Chem.MolFromSmarts("[#0]")


def offspring(mother: str, father: str, random: Random, mutation_rate: float = 0.5) -> str | None:
    """Return the canonical SMILES of a child of two molecules, or None where what came out is none.

    Args:
        mother: A canonical SMILES.
        father: Another; of two equal ones the child is a mutant.
        random: Draws what happens.
        mutation_rate: How probable a mutation is after a crossover.

    >>> offspring("CCOc1ccccc1", "CCOc1ccccc1", Random(1)) != "CCOc1ccccc1"
    True
    """
    with rdBase.BlockLogs():
        try:
            if mother == father:
                return _finished(mutate(Chem.RWMol(editable(mother)), random))
            child = crossover(editable(mother), editable(father), random)
            if child is not None and random.random() < mutation_rate:
                child = mutate(_perceived(child), random)
            return _finished(child)
        except (RuntimeError, ValueError):  # RDKit's: valences, rings that are not aromatic, its invariants
            return None


@lru_cache(maxsize=8192)  # of those that are drawn again and again; 14 kB each
def editable(smiles: str) -> Any:
    """Return a molecule in its Kekulé form, all hydrogens implicit. It is shared: copy it before changing it."""
    mol = Chem.RWMol(molecule(smiles))
    Chem.Kekulize(mol, clearAromaticFlags=True)
    for atom in mol.GetAtoms():
        atom.SetNoImplicit(False)
        atom.SetNumExplicitHs(0)
    return _perceived(mol)


def _perceived(mol: Any) -> Any:
    """Return a molecule once its hydrogens and its rings are known."""
    mol.UpdatePropertyCache()
    Chem.FastFindRings(mol)
    return mol


def _finished(mol: Any) -> str | None:
    if mol is None or not 0 < mol.GetNumHeavyAtoms() <= MAX_HEAVY_ATOMS:
        return None
    Chem.SanitizeMol(mol)
    if any(len(ring) > MAX_RING for ring in mol.GetRingInfo().AtomRings()):
        return None
    return canonical_smiles(Chem.MolToSmiles(mol))


def crossover(mother: Any, father: Any, random: Random) -> Any:
    """Return a part of one molecule joined to a part of another, both cut at a single bond outside of rings or across a ring."""
    ways = [_cut_chain, _cut_ring]
    random.shuffle(ways)
    for cut in ways:
        ours, theirs = cut(mother, random), cut(father, random)
        if ours and theirs:
            return _joined(random.choice(ours), random.choice(theirs), random)
    return None


def _cut_chain(mol: Any, random: Random) -> list[Any] | None:
    pairs = mol.GetSubstructMatches(_CHAIN_BOND)
    return _fragments(mol, [mol.GetBondBetweenAtoms(*random.choice(pairs)).GetIdx()]) if pairs else None


def _cut_ring(mol: Any, random: Random) -> list[Any] | None:
    rings = mol.GetRingInfo().BondRings()
    if not rings:
        return None
    ring = random.choice(rings)
    bonds = [index for index in ring if mol.GetRingInfo().NumBondRings(index) == 1]
    if len(bonds) < 2:
        return None
    found = _fragments(mol, random.sample(bonds, 2))
    return found if len(found) == 2 else None


def _fragments(mol: Any, bonds: list[int]) -> list[Any]:
    cut = Chem.FragmentOnBonds(mol, bonds, addDummies=True, dummyLabels=[(0, 0)] * len(bonds))
    return list(Chem.GetMolFrags(cut, asMols=True, sanitizeFrags=False))


def _joined(ours: Any, theirs: Any, random: Random) -> Any:
    """Return two fragments bound where they were cut, ours with the bonds that they had."""
    mol = Chem.RWMol(Chem.CombineMols(ours, theirs))
    ends = [index for (index,) in mol.GetSubstructMatches(_END)]
    first = [index for index in ends if index < ours.GetNumAtoms()]
    second = [index for index in ends if index >= ours.GetNumAtoms()]
    random.shuffle(second)
    for one, other in zip(first, second, strict=True):
        near, far = mol.GetAtomWithIdx(one).GetNeighbors()[0], mol.GetAtomWithIdx(other).GetNeighbors()[0]
        if mol.GetBondBetweenAtoms(near.GetIdx(), far.GetIdx()):
            return None
        order = mol.GetBondBetweenAtoms(one, near.GetIdx()).GetBondType()
        mol.AddBond(near.GetIdx(), far.GetIdx(), order)
    for index in sorted(ends, reverse=True):
        mol.RemoveAtom(index)
    return mol


def mutate(mol: Any, random: Random) -> Any:
    """Return a molecule with one change: an atom or a bond more, less or another; None where the change drawn is not possible."""
    return random.choices([edit for edit, _ in _EDITS], [weight for _, weight in _EDITS])[0](mol, random)


def _append_atom(mol: Any, random: Random) -> Any:
    open_ones = [atom for atom in mol.GetAtoms() if atom.GetTotalNumHs()]
    if not open_ones:
        return None
    atom = random.choice(open_ones)
    order = random.choice(_BONDS) if atom.GetTotalNumHs() > 1 else Chem.BondType.SINGLE
    mol.AddBond(atom.GetIdx(), mol.AddAtom(_element(random)), order)
    return mol


def _insert_atom(mol: Any, random: Random) -> Any:
    bond = _any_bond(mol, random)
    if bond is None:
        return None
    begin, end, order = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), bond.GetBondType()
    mol.RemoveBond(begin, end)
    new = mol.AddAtom(_element(random))
    mol.AddBond(begin, new, order)
    mol.AddBond(new, end, Chem.BondType.SINGLE)
    return mol


def _delete_atom(mol: Any, random: Random) -> Any:
    thin = [atom for atom in mol.GetAtoms() if atom.GetDegree() <= 2]
    if not thin or mol.GetNumAtoms() < 3:
        return None
    atom = random.choice(thin)
    ends = [neighbour.GetIdx() for neighbour in atom.GetNeighbors()]
    if len(ends) == 2:
        if mol.GetBondBetweenAtoms(*ends):
            return None
        order = mol.GetBondBetweenAtoms(atom.GetIdx(), random.choice(ends)).GetBondType()
        mol.AddBond(*ends, order)
    mol.RemoveAtom(atom.GetIdx())
    return mol


def _change_atom(mol: Any, random: Random) -> Any:
    atom = random.choice(list(mol.GetAtoms()))
    atom.SetAtomicNum(_element(random).GetAtomicNum())
    atom.SetFormalCharge(0)
    return mol


def _change_bond(mol: Any, random: Random) -> Any:
    bond = _any_bond(mol, random)
    if bond is None:
        return None
    bond.SetBondType(random.choice((Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)))
    return mol


def _close_ring(mol: Any, random: Random) -> Any:
    open_ones = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetTotalNumHs()]
    if len(open_ones) < 2:
        return None
    first = random.choice(open_ones)
    distances = Chem.GetDistanceMatrix(mol)[first]
    others = [index for index in open_ones if 2 <= distances[index] < MAX_RING]
    if not others:
        return None
    weights = [(0.1 if distances[index] in (2, 3) else 1.0) for index in others]  # rings of five and six are common
    mol.AddBond(first, random.choices(others, weights)[0], Chem.BondType.SINGLE)
    return mol


def _open_ring(mol: Any, random: Random) -> Any:
    bonds = [bond for bond in mol.GetBonds() if bond.IsInRing()]
    if not bonds:
        return None
    bond = random.choice(bonds)
    mol.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
    return mol


def _any_bond(mol: Any, random: Random) -> Any:
    return random.choice(list(mol.GetBonds())) if mol.GetNumBonds() else None


def _element(random: Random) -> Any:
    return Chem.Atom(random.choices(list(_ELEMENTS), list(_ELEMENTS.values()))[0])


_EDITS: tuple[tuple[Callable[[Any, Random], Any], float], ...] = (
    (_append_atom, 3),
    (_insert_atom, 2),
    (_delete_atom, 3),
    (_change_atom, 3),
    (_change_bond, 2),
    (_close_ring, 1),
    (_open_ring, 1),
)
