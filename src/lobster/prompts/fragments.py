"""Prompts that are a part of a molecule or a protein, for a policy to grow or to fill in."""

import re
from numbers import Integral
from typing import Any

from lobster.constants import Modality
from lobster.sequences.chemistry import parse_smiles, rdkit_seed
from lobster.sequences.modality import read_letters

MARK = r"\*|\[\*\]"  # beside a metal RDKit writes it in brackets
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
        ValueError: RDKit cannot parse the fragment, it is in pieces, has no place to grow, or a mark is not bound to one atom;
            or the count is below 1.

    >>> sorted(growth_prompts("*CO")), growth_prompts("*c1ccncc1", count=2)
    (['C(O)', 'OC'], ['c1cnccc1', 'c1(ccncc1)'])
    """
    _check_count(count)
    found = [open_spellings(place, seed) for place in _places(_fragment(fragment), fragment)]
    turns = [prompts[n] for n in range(max(map(len, found))) for prompts in found if n < len(prompts)]
    return list(dict.fromkeys(turns))[:count]


def linker_prompts(first: str, second: str, count: int = 16, seed: int = 0) -> list[dict[str, str]]:
    """Spell two fragments so that what a policy writes links them, where each has one ``*``.

    Either fragment is the prompt in turn, and the other one the suffix, which the policy does not see: the molecule is
    prompt, completion and suffix (``include_prompt=True``).

    Args:
        first, second: SMILES, such as ``*c1ccncc1``.
        count: Most prompts.
        seed: Of the spellings.

    Returns:
        Rows of a data set, each with ``prompt``, ``suffix`` and ``modality``.

    Raises:
        ValueError: RDKit cannot parse a fragment, it is in pieces, or has not one mark that is bound to one atom; or the count is
            below 1.

    >>> one, other = linker_prompts("*C#N", "*CO", count=2)
    >>> one, other["suffix"]
    ({'prompt': 'N#C', 'suffix': 'CO', 'modality': 'SMILES'}, 'C#N')
    """
    from rdkit import Chem

    _check_count(count)
    ends = [_fragment(first), _fragment(second)]
    for text, mol in zip((first, second), ends, strict=True):
        if len(_marks(mol)) != 1:
            raise ValueError(
                f"fragment {text!r:.60} has {len(_marks(mol))} marks: expected one *, where the linker is bound"
            )
    prompts = [open_spellings(mol, seed) for mol in ends]
    rooted = [Chem.MolToSmiles(mol, rootedAtAtom=_marks(mol)[0]) for mol in reversed(ends)]
    suffixes = [re.sub(f"^({MARK})", "", text) for text in rooted]
    found = [
        {"prompt": spellings[n], "suffix": suffix, "modality": Modality.SMILES.value}
        for n in range(max(map(len, prompts)))
        for spellings, suffix in zip(prompts, suffixes, strict=True)
        if n < len(spellings)
    ]
    return found[:count]


def region_prompts(protein: str, first: int, last: int) -> list[dict[str, str]]:
    """Cut a region out of a protein, for a policy to write another one there.

    The prompt is what stands before it and the suffix what stands behind, which the policy does not see: the protein is prompt,
    completion and suffix (``include_prompt=True``). With ``max_completion_length=last - first + 1`` the new region is as long as
    the old one, or shorter where the policy ends it.

    Args:
        protein: Its residues; FASTA and lines are read, of several records the first.
        first, last: The region's first and last residue, counted from 1.

    Returns:
        One row of a data set, with ``prompt``, ``suffix`` and ``modality``; several regions are the rows of each, in one list.

    Raises:
        ValueError: It is no protein, or the region is not within it.

    >>> region_prompts("MKTAYIAKQR", 4, 6)
    [{'prompt': 'MKT', 'suffix': 'AKQR', 'modality': 'amino_acid'}]
    """
    residues = read_letters(protein, Modality.AMINO_ACID)
    if not (isinstance(first, Integral) and isinstance(last, Integral) and 1 <= first <= last <= len(residues)):
        raise ValueError(
            f"region {first!r} to {last!r}: expected 1 ≤ first ≤ last ≤ {len(residues)}, the protein's residues"
        )
    before, behind = residues[: first - 1], residues[last:]
    return [{"prompt": before, "suffix": behind, "modality": Modality.AMINO_ACID.value}]


def places_to_grow(fragment: str) -> list[str]:
    """Return a fragment with its marks as bare ``*``; without one, a fragment with one mark for each place to grow.

    Raises:
        ValueError: As of `growth_prompts`.

    >>> places_to_grow("[*:1]CC[2*]"), places_to_grow("CO")
    (['*CC*'], ['*CO', '*OC'])
    """
    from rdkit import Chem

    mol = _fragment(fragment)
    return [Chem.MolToSmiles(place) for place in ([mol] if _marks(mol) else _places(mol, fragment))]


def open_spellings(mol: Any, seed: int = 0) -> list[str]:
    """Return different random spellings of a molecule with marks that end in one, without this one."""
    from rdkit import Chem

    spellings = Chem.MolToRandomSmilesVect(mol, _TRIES, randomSeed=rdkit_seed(seed))
    open_ones = (re.fullmatch(f"(.*?)({MARK})", text) for text in spellings)
    return list(dict.fromkeys(found[1] for found in open_ones if found))


def _check_count(count: int) -> None:
    if count < 1:
        raise ValueError(f"count is {count}: expected at least 1")


def _fragment(text: str) -> Any:
    """Return the molecule of a fragment, its marks without numbers.

    Raises:
        ValueError: RDKit cannot parse it, it is in several pieces, or a mark is not bound to one atom.
    """
    from rdkit import Chem

    mol = parse_smiles(text)
    if mol is None:
        raise ValueError(f"fragment {text!r:.60} is no SMILES: expected one such as *c1ccncc1")
    if (pieces := len(Chem.GetMolFrags(mol))) > 1:
        raise ValueError(f"fragment {text!r:.60} is in {pieces} pieces: expected one, without a salt")
    mol = Chem.RWMol(mol)
    for mark in _marks(mol):
        if mol.GetAtomWithIdx(mark).GetDegree() != 1:
            raise ValueError(f"fragment {text!r:.60} has a * that is not bound to one atom, where it is to grow")
        mol.ReplaceAtom(mark, Chem.Atom(0))
    return mol


def _marks(mol: Any) -> list[int]:
    return [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0]


def _places(mol: Any, text: str) -> list[Any]:
    """Return a molecule for each place to grow, with one dummy atom, bound once, there.

    Raises:
        ValueError: There is none.
    """
    from rdkit import Chem

    marks = _marks(mol)
    found: dict[str, Any] = {}
    for at in marks or [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetTotalNumHs()]:
        grown = Chem.RWMol(mol)
        if marks:
            for other in set(marks) - {at}:
                grown.ReplaceAtom(other, Chem.Atom(1))
        else:
            grown.AddBond(at, grown.AddAtom(Chem.Atom(0)), Chem.BondType.SINGLE)
            atom = grown.GetAtomWithIdx(at)
            atom.SetNumExplicitHs(max(0, atom.GetNumExplicitHs() - 1))
        try:
            place = Chem.RemoveHs(grown)
        except Chem.MolSanitizeException:
            continue
        found.setdefault(Chem.MolToSmiles(place), place)
    if not found:
        raise ValueError(f"fragment {text!r:.60} has no place to grow: expected a *, or an atom with a hydrogen")
    return list(found.values())
