"""Prompts that are a part of a molecule, for a policy to grow: a scaffold, a fragment, a core with a place for an R-group."""

from typing import Any

from lobster.sequences.chemistry import parse_smiles, rdkit_seed

_TRIES = 100  # random spellings of a fragment, of which those are taken that end where it is to grow


def growth_prompts(fragment: str, count: int = 16, seed: int = 0) -> list[str]:
    """Spell a fragment so that what follows is bound to it, where ``*`` marks.

    With several marks each is a place in turn, the others are hydrogens; without one every atom that has a hydrogen is a
    place. The policy writes the rest: train it with ``include_prompt=True``. It has to know spellings other than the canonical one,
    as `smiles-policy-7M` does; the idea is that of SMILES-based decorators (Arús-Pous et al., J.
    Cheminform. 12, 2020), with a model that is none.

    Args:
        fragment: A SMILES, such as ``*c1ccncc1``.
        count: Most prompts, about as many for each place.
        seed: Of the spellings.

    Returns:
        Different SMILES, in random order.

    Raises:
        ValueError: RDKit cannot parse the fragment, it has no place to grow, or a mark is not bound to one atom.

    >>> sorted(growth_prompts("*CO")), growth_prompts("*c1ccncc1", count=2)
    (['C(O)', 'OC'], ['c1cnccc1', 'c1(ccncc1)'])
    """
    mol = parse_smiles(fragment)
    if mol is None:
        raise ValueError(f"fragment {fragment!r:.60} is no SMILES: expected one such as *c1ccncc1")
    if any(atom.GetDegree() != 1 for atom in mol.GetAtoms() if not atom.GetAtomicNum()):
        raise ValueError(f"fragment {fragment!r:.60} has a * that is not bound to one atom, where it is to grow")
    places = _places(mol)
    if not places:
        raise ValueError(f"fragment {fragment!r:.60} has no place to grow: expected a *, or an atom with a hydrogen")
    from rdkit import Chem

    found: list[list[str]] = []
    for place in places:
        spellings = Chem.MolToRandomSmilesVect(place, _TRIES, randomSeed=rdkit_seed(seed))
        found.append(list(dict.fromkeys(text[:-1] for text in spellings if text.endswith("*"))))
    turns = [prompts[n] for n in range(max(map(len, found))) for prompts in found if n < len(prompts)]
    return list(dict.fromkeys(turns))[:count]


def _places(mol: Any) -> list[Any]:
    """Return a molecule for each place to grow, with one dummy atom, bound once, there."""
    from rdkit import Chem

    marks = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0]
    found: dict[str, Any] = {}
    for at in marks or [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetTotalNumHs()]:
        grown = Chem.RWMol(mol)
        if marks:
            for other in marks:
                grown.ReplaceAtom(other, Chem.Atom(0 if other == at else 1))
        else:
            grown.AddBond(at, grown.AddAtom(Chem.Atom(0)), Chem.BondType.SINGLE)
            atom = grown.GetAtomWithIdx(at)
            atom.SetNumExplicitHs(max(0, atom.GetNumExplicitHs() - 1))
        try:
            place = Chem.RemoveHs(grown)
        except Chem.MolSanitizeException:
            continue
        found.setdefault(Chem.MolToSmiles(place), place)
    return list(found.values())
