"""Corrupted copies of real sequences, to see whether an encoder can tell them apart."""

import re

import numpy as np

from lobster.constants import Modality
from lobster.sequences import canonical_smiles
from lobster.tokenization.vocabulary import SMILES_PATTERN

# The letters that every sequence of a modality may have.
LETTERS = {Modality.AMINO_ACID: "ACDEFGHIKLMNPQRSTVWY", Modality.NUCLEOTIDE: "ACGT"}


def swap_tokens(smiles: str, rng: np.random.Generator, swaps: int = 4, tries: int = 400) -> str | None:
    """Exchange two different tokens of a SMILES, several times, so that RDKit accepts every step.

    The corruption has the tokens of the original: how often each comes tells nothing.

    Args:
        smiles: A valid SMILES.
        rng: The generator to draw from.
        swaps: How many exchanges to make.
        tries: How many exchanges to try.

    Returns:
        Another molecule than the original; None where none was found.

    >>> swapped = swap_tokens("CCOC(=O)c1ccccc1", np.random.default_rng(0))
    >>> sorted(swapped) == sorted("CCOC(=O)c1ccccc1"), swapped == "CCOC(=O)c1ccccc1"
    (True, False)
    """
    tokens = re.findall(SMILES_PATTERN, smiles)
    for _ in range(tries):
        changed = list(tokens)
        i, j = rng.integers(len(tokens), size=2)
        changed[i], changed[j] = changed[j], changed[i]
        if changed == tokens or canonical_smiles("".join(changed)) is None:
            continue
        tokens, swaps = changed, swaps - 1
        if swaps == 0:
            corrupted = "".join(tokens)
            return corrupted if canonical_smiles(corrupted) != canonical_smiles(smiles) else None
    return None


def swap_atoms(smiles: str, rng: np.random.Generator, tries: int = 50) -> str | None:
    """Exchange two uncharged atoms of different elements in a molecule, which leaves its formula but for hydrogens as it is.

    Returns:
        The canonical SMILES of another molecule that RDKit accepts; None where none was found.

    >>> swap_atoms("CCOC(=O)c1ccccc1", np.random.default_rng(0)) not in (None, "CCOC(=O)c1ccccc1")
    True
    """
    from rdkit import Chem, rdBase

    molecule = Chem.MolFromSmiles(smiles)
    Chem.Kekulize(molecule, clearAromaticFlags=True)
    with rdBase.BlockLogs():
        for _ in range(tries):
            changed = Chem.RWMol(molecule)
            one, other = (changed.GetAtomWithIdx(int(i)) for i in rng.integers(changed.GetNumAtoms(), size=2))
            elements = one.GetAtomicNum(), other.GetAtomicNum()
            if elements[0] == elements[1] or one.GetFormalCharge() or other.GetFormalCharge():
                continue
            for atom, element in zip((other, one), elements, strict=True):
                atom.SetAtomicNum(element)
                atom.SetNoImplicit(False)
                atom.SetNumExplicitHs(0)
            try:
                Chem.SanitizeMol(changed)
            except Chem.MolSanitizeException:
                continue
            swapped = canonical_smiles(Chem.MolToSmiles(changed))
            if swapped and swapped != smiles:
                return swapped
    return None


def shuffle_bonds(smiles: str, rng: np.random.Generator, swaps_per_bond: int = 3) -> str | None:
    """Shuffle a molecule into another one of the same formula: each atom keeps its bonds' number and orders.

    Two bonds a-b and c-d of one order become a-d and c-b, again and again, where the molecule stays in one piece without a
    double connection (the double edge swap of Maslov and Sneppen, Science 296, 2002). Stereo marks are lost.

    Args:
        smiles: A valid SMILES of one fragment.
        rng: The generator to draw from.
        swaps_per_bond: How many exchanges to try for each bond.

    Returns:
        The canonical SMILES of another molecule; None where none was found.

    >>> from rdkit.Chem.rdMolDescriptors import CalcMolFormula
    >>> from rdkit.Chem import MolFromSmiles
    >>> shuffled = shuffle_bonds("CC(=O)Oc1ccccc1C(=O)O", np.random.default_rng(0))
    >>> shuffled != "CC(=O)Oc1ccccc1C(=O)O", CalcMolFormula(MolFromSmiles(shuffled))
    (True, 'C9H8O4')
    """
    from rdkit import Chem

    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or molecule.GetNumBonds() < 2 or "." in smiles:
        return None
    original = Chem.MolToSmiles(molecule, isomericSmiles=False)
    Chem.RemoveStereochemistry(molecule)
    hydrogens = [atom.GetTotalNumHs() for atom in molecule.GetAtoms()]
    Chem.Kekulize(molecule, clearAromaticFlags=True)
    orders = {frozenset((b.GetBeginAtomIdx(), b.GetEndAtomIdx())): b.GetBondType() for b in molecule.GetBonds()}
    for _ in range(swaps_per_bond * len(orders)):
        bonds = list(orders)
        i, j = rng.integers(len(bonds), size=2)
        (a, b), (c, d) = sorted(bonds[i]), rng.permutation(sorted(bonds[j])).tolist()
        changed = {frozenset((a, d)), frozenset((c, b))}
        if len({a, b, c, d}) < 4 or orders[bonds[i]] != orders[bonds[j]] or changed & orders.keys():
            continue
        kept = {bond: order for bond, order in orders.items() if bond not in (bonds[i], bonds[j])}
        kept |= dict.fromkeys(changed, orders[bonds[i]])
        if _connected(kept, len(hydrogens)):
            orders = kept
    shuffled = Chem.RWMol(molecule)
    for bond in list(shuffled.GetBonds()):
        shuffled.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
    for (a, b), order in orders.items():
        shuffled.AddBond(a, b, order)
    for atom, count in zip(shuffled.GetAtoms(), hydrogens, strict=True):
        atom.SetNumExplicitHs(count)
        atom.SetNoImplicit(True)
    try:
        Chem.SanitizeMol(shuffled)
    except Chem.MolSanitizeException:
        return None
    result = canonical_smiles(Chem.MolToSmiles(shuffled))
    return None if result == original else result


def _connected(bonds: dict, num_atoms: int) -> bool:
    neighbours: list[list[int]] = [[] for _ in range(num_atoms)]
    for a, b in bonds:
        neighbours[a].append(b)
        neighbours[b].append(a)
    reached, front = {0}, [0]
    while front:
        front = [b for a in front for b in neighbours[a] if b not in reached and not reached.add(b)]  # type: ignore[func-returns-value]
    return len(reached) == num_atoms


def corrupt_letters(sequence: str, modality: Modality, rng: np.random.Generator, rate: float) -> str:
    """Replace a share of the letters of a protein or nucleotide sequence by others, each other letter as likely.

    >>> corrupt_letters("MKTV", Modality.AMINO_ACID, np.random.default_rng(0), 0.25) != "MKTV"
    True
    """
    letters = list(sequence)
    for position in rng.choice(len(letters), max(1, round(rate * len(letters))), replace=False):
        others = [letter for letter in LETTERS[modality] if letter != letters[position].upper()]
        letters[position] = str(rng.choice(others))
    return "".join(letters)


def shuffle_letters(sequence: str, rng: np.random.Generator) -> str:
    """Put the letters of a sequence into a random order.

    >>> sorted(shuffle_letters("MKTV", np.random.default_rng(0)))
    ['K', 'M', 'T', 'V']
    """
    return "".join(rng.permutation(list(sequence)))


def shift_frame(sequence: str, rng: np.random.Generator) -> str:
    """Delete a base in the first tenth of a coding sequence and insert one in the last tenth: what is between is out of frame.

    The start and the stop codon stay as they are, and so does the length.

    >>> shift_frame("ATG" + "GCC" * 20 + "TAA", np.random.default_rng(0))[:12]
    'ATGGCCGCGCCG'
    """
    tenth = max(1, (len(sequence) - 6) // 10)
    deleted = 3 + int(rng.integers(tenth))
    inserted = len(sequence) - 3 - int(rng.integers(tenth))
    base = str(rng.choice(list("ACGT")))
    return sequence[:deleted] + sequence[deleted + 1 : inserted] + base + sequence[inserted:]


def scramble_codons(sequence: str, rng: np.random.Generator) -> str:
    """Replace each codon of a coding sequence by a random one of the same meaning in the standard genetic code.

    >>> scramble_codons("ATGAAATGGTAA", np.random.default_rng(1))
    'ATGAAATGGTAG'
    """
    from Bio.Data.CodonTable import unambiguous_dna_by_id

    table = unambiguous_dna_by_id[1]
    meaning = dict(table.forward_table) | dict.fromkeys(table.stop_codons, "*")
    synonyms: dict[str, list[str]] = {}
    for codon, amino_acid in meaning.items():
        synonyms.setdefault(amino_acid, []).append(codon)
    codons = [sequence[i : i + 3].upper() for i in range(0, len(sequence), 3)]
    return "".join(str(rng.choice(synonyms[meaning[c]])) if c in meaning else c for c in codons)
