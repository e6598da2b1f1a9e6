"""Corruptions are what they say."""

import re
from collections import Counter

import numpy as np
import pytest
from Bio.Seq import translate
from rdkit import Chem
from rdkit.Chem.rdMolDescriptors import CalcMolFormula

from lobster.constants import Modality
from lobster.evaluation.corruption import (
    corrupt_letters,
    scramble_codons,
    shift_frame,
    shuffle_bonds,
    shuffle_letters,
    swap_tokens,
)
from lobster.evaluation.fooling import fooling_strings
from lobster.sequences import canonical_smiles
from lobster.tokenization.vocabulary import SMILES_PATTERN

DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "CC(C)Cc1ccc(C(C)C(=O)O)cc1", "Cn1c(=O)c2c(ncn2C)n(C)c1=O"]
ODD = ["C[N+](C)(C)CC(=O)[O-]", "C[C@H](N)C(=O)O", "O=S(=O)(c1ccccc1)N1CCOCC1", "C#CCN1C=CC(=O)[nH]1"]
CODING = "ATGGCCCTGTGGATGCGCCTCCTGCCCCTGCTGGCGCTGCTGGCCCTCTGGGGACCTGACCCAGCCGCAGCCTTTGTGAACCAACACCTGTGA"


def tokens(smiles: str) -> Counter:
    return Counter(re.findall(SMILES_PATTERN, smiles))


@pytest.mark.parametrize("smiles", DRUGS)
def test_swaps_keep_the_tokens_and_make_another_molecule(smiles: str):
    rng = np.random.default_rng(0)
    found = [c for c in (swap_tokens(smiles, rng) for _ in range(10)) if c]
    assert len(found) >= 5
    for corrupted in found:
        assert tokens(corrupted) == tokens(smiles)
        assert canonical_smiles(corrupted) not in (None, canonical_smiles(smiles))


@pytest.mark.parametrize("smiles", [*DRUGS, *ODD])
def test_shuffled_bonds_keep_the_formula_and_the_charges(smiles: str):
    rng = np.random.default_rng(0)
    found = {c for c in (shuffle_bonds(smiles, rng) for _ in range(10)) if c}
    assert len(found) >= (3 if smiles in DRUGS else 1)
    original = Chem.MolFromSmiles(smiles)
    for shuffled in found:
        molecule = Chem.MolFromSmiles(shuffled)
        assert CalcMolFormula(molecule) == CalcMolFormula(original)
        assert "." not in shuffled
        assert shuffled == Chem.MolToSmiles(molecule)
        assert shuffled != Chem.MolToSmiles(original, isomericSmiles=False)
        charges = [sorted(a.GetFormalCharge() for a in m.GetAtoms()) for m in (molecule, original)]
        assert charges[0] == charges[1]


@pytest.mark.parametrize("smiles", ["C", "CC", "[Na+].[Cl-]", "not a molecule"])
def test_what_cannot_be_shuffled_is_none(smiles: str):
    assert shuffle_bonds(smiles, np.random.default_rng(0)) is None
    assert swap_tokens("C", np.random.default_rng(0)) is None


@pytest.mark.parametrize(("modality", "sequence"), [("amino_acid", "MKTVRQERLK" * 10), ("nucleotide", "ACGT" * 25)])
def test_letters_are_replaced_at_the_rate(modality: str, sequence: str):
    corrupted = corrupt_letters(sequence, Modality(modality), np.random.default_rng(0), 0.2)
    assert sum(a != b for a, b in zip(sequence, corrupted, strict=True)) == 20


def test_shuffled_letters_are_the_same_letters():
    shuffled = shuffle_letters(CODING, np.random.default_rng(0))
    assert shuffled != CODING
    assert Counter(shuffled) == Counter(CODING)


@pytest.mark.parametrize("seed", range(20))
def test_a_shifted_frame_keeps_the_ends_and_the_length(seed: int):
    shifted = shift_frame(CODING, np.random.default_rng(seed))
    assert len(shifted) == len(CODING)
    assert (shifted[:3], shifted[-3:]) == ("ATG", "TGA")
    middle = slice(12, len(CODING) - 12)
    assert shifted[middle] == CODING[middle.start + 1 : middle.stop + 1]


@pytest.mark.parametrize("seed", range(5))
def test_scrambled_codons_mean_the_same(seed: int):
    scrambled = scramble_codons(CODING, np.random.default_rng(seed))
    assert scrambled != CODING
    assert translate(scrambled) == translate(CODING)


@pytest.mark.parametrize("modality", list(Modality))
def test_fooling_strings_are_of_their_modality(modality: Modality):
    for family in fooling_strings(modality).values():
        assert len(set(family)) == len(family)
        for string in family:
            if modality is Modality.SMILES:
                assert canonical_smiles(string), string
            else:
                assert set(string) <= set("ACGT" if modality is Modality.NUCLEOTIDE else "ACDEFGHIKLMNPQRSTVWY")
