"""Telling the modality of a string: the ambiguous, the real and the hostile."""

import time
from collections.abc import Callable

import pytest

from lobster.constants import Modality
from lobster.model.utils import _detect_modality

SMILES, PROTEIN, NUCLEOTIDE = Modality.SMILES, Modality.AMINO_ACID, Modality.NUCLEOTIDE


@pytest.mark.parametrize(
    ("sequence", "modality"),
    [
        ("CCO", SMILES),
        ("CCN", SMILES),
        ("CCCC", SMILES),
        ("NCCN", SMILES),
        ("SPINS", SMILES),
        ("SPOON", SMILES),
        ("NOFFS", PROTEIN),
        ("CN", SMILES),
        ("C", SMILES),
        ("cccc", NUCLEOTIDE),
        ("GATTACA", NUCLEOTIDE),
        ("NAG", NUCLEOTIDE),
        ("GAVA", NUCLEOTIDE),
        ("MARK", PROTEIN),
        ("GAVV", NUCLEOTIDE),  # half of the letters are enough
        ("GAVVS", PROTEIN),
    ],
)
def test_ambiguous_strings_go_by_the_table(sequence: str, modality: Modality):
    assert _detect_modality(sequence) is modality


@pytest.mark.parametrize(
    "sequence",
    ["ATGCGT", "atgcgt", "AUGCGU", "acgu", "ACGTNNACGT", "acgtnnacgt", "ACGTACRYSWKM", "acgtacgtrykmbdhv", "T", "g"],
)
def test_dna_and_rna_in_either_case_with_ambiguity_codes(sequence: str):
    assert _detect_modality(sequence) is NUCLEOTIDE


@pytest.mark.parametrize(
    "sequence", ["MKTVRQERLK", "MXBZUO", "MKTVRQ*", "XXMKL", "ACDEFGHIKLMNPQRSTVWY", "LLLL", "WYRSKM"]
)
def test_proteins_with_rare_residues_and_a_stop(sequence: str):
    assert _detect_modality(sequence) is PROTEIN


@pytest.mark.parametrize(
    "sequence", ["Cl", "CCl", "BrCCBr", "c1ccccc1", "Cc1ccccc1", "[Na+]", "[Na+].[Cl-]", "C=O", "C#N", "C1CC1", "O=C=O"]
)
def test_mixed_case_brackets_bonds_and_rings_are_smiles(sequence: str):
    assert _detect_modality(sequence) is SMILES


def test_blanks_around_a_sequence_do_not_matter():
    assert _detect_modality(" MKTVRQERLK\n") is PROTEIN
    assert _detect_modality("\tc1ccccc1 ") is SMILES


@pytest.mark.parametrize(
    "garbage",
    [
        *(
            "",
            "   ",
            "\n",
            None,
            7,
            [],
            "🧬",
            "C🧬",
            "é",
            "CC\0O",
            "\0",
            "hello world",
            "CCO ethanol",
            "mktvr",
            "acGTac",
        ),
        *("M*K", "*M", "J", "MKT-VRQ", ">seq", "C1CC", "c1cc", "C(C", "C)C", "[Xx]", "123"),
    ],
    ids=repr,
)
def test_garbage_is_refused_quickly(garbage: object):
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"expected|neither"):
        _detect_modality(garbage)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("unit", ["(", "[", "c1", "C(", "%", "=", "\0", " C", "Cl"])
def test_a_megabyte_of_garbage_is_refused_quickly(unit: str):
    start = time.monotonic()
    with pytest.raises(ValueError, match="neither") as caught:
        _detect_modality(unit * (1_000_000 // len(unit)))
    assert time.monotonic() - start < 10
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(("unit", "modality"), [("C", NUCLEOTIDE), ("ACGT", NUCLEOTIDE), ("MKL", PROTEIN)])
def test_a_megabyte_that_is_no_molecule_for_rdkit_may_be_a_chain(unit: str, modality: Modality):
    start = time.monotonic()
    assert _detect_modality(unit * (1_000_000 // len(unit))) is modality
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("modality", "change"),
    [
        (SMILES, str),
        (PROTEIN, str),
        (NUCLEOTIDE, str),
        (NUCLEOTIDE, str.lower),
        (NUCLEOTIDE, lambda dna: dna.replace("T", "U")),
        (NUCLEOTIDE, lambda dna: dna.replace("T", "U").lower()),
    ],
    ids=["SMILES", "protein", "DNA", "dna", "RNA", "rna"],
)
def test_real_sequences_are_told_apart(
    held_out: Callable[[Modality], list[str]], modality: Modality, change: Callable[[str], str]
):
    sequences = sorted(held_out(modality), key=len) if modality is SMILES else held_out(modality)
    found = [_detect_modality(change(sequence)) for sequence in sequences[:3000]]
    assert len(found) == 3000
    assert found.count(modality) >= 0.995 * len(found)
