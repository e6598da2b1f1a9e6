"""Proteins, DNA and RNA, however they are laid out."""

from collections.abc import Callable

import pytest

from lobster.constants import Modality
from lobster.sequences import letters_of, normal_form, read_letters

PROTEIN, NUCLEOTIDE = Modality.AMINO_ACID, Modality.NUCLEOTIDE


@pytest.mark.parametrize(
    "text",
    [
        *("MKTVRQERLK", "mktvrqerlk", "MKTvrqERLK", " MKTVRQERLK\n", "MKTVRQERLK*", "MKTVRQ\nERLK*\n"),
        *("MKTVRQ\r\nERLK", "MKTVR QERLK", "1 MKTVR 5\n6 QERLK 10", ">sp|P1|X a protein 12\nMKTVRQ\nERLK"),
        *(">a\nMKTVRQERLK\n>b\nGGGG\n", ">a\n;comment\nMKTVRQERLK\n*", "\n>\nMKTVRQERLK"),
    ],
)
def test_layouts_of_one_protein(text: str):
    assert normal_form(text, PROTEIN) == "MKTVRQERLK"


@pytest.mark.parametrize(
    "text",
    [
        *("ATGCGT", "atgcgt", "AUGCGU", "augcgu", "AUGCGT", "AtgCGu", "ATG CGT", "ATG\nCGT", ">g\nATG\nCGT\n>h\nA"),
        *("        1 atg cgt\n", "ATG CGT    6\n"),
    ],
)
def test_spellings_of_one_gene(text: str):
    assert normal_form(text, NUCLEOTIDE) == "atgcgt"


@pytest.mark.parametrize(
    ("text", "modality", "problem"),
    [
        ("MKT-VRQ", PROTEIN, "'-' at position 4"),
        ("MKTJ", PROTEIN, "'J' at position 4"),
        ("MK*T", PROTEIN, r"'\*' at position 3"),
        ("MKT**", PROTEIN, r"'\*' at position 4"),
        ("MK\nT1", PROTEIN, "'1' at position 4"),
        ("c1ccccc1", PROTEIN, "'1' at position 2"),
        ("ATGE", NUCLEOTIDE, "'E' at position 4"),
        ("ATG*", NUCLEOTIDE, r"'\*' at position 4"),
        ("MKſT", PROTEIN, "'ſ' at position 3"),  # its upper case is S
        ("g\u212a", NUCLEOTIDE, "'\u212a' at position 2"),  # the Kelvin sign, whose lower case is k
        ("ﬁ", PROTEIN, "'ﬁ' at position 1"),  # its upper case is FI
        *((text, PROTEIN, "has no letters") for text in ("", "*", " 12 ", ">header", ">a\n>b\nMK")),
    ],
)
def test_what_is_none_says_what_and_where(text: str, modality: Modality, problem: str):
    with pytest.raises(ValueError, match=problem):
        read_letters(text, modality)
    assert normal_form(text, modality) is None


def test_only_the_first_record_counts():
    assert letters_of(">a\nMKT\n>b\nVRQ") == "MKT"


@pytest.mark.parametrize("modality", [PROTEIN, NUCLEOTIDE])
def test_real_sequences_are_read_in_any_layout(held_out: Callable[[Modality], list[str]], modality: Modality):
    real = held_out(modality)
    forms = [normal_form(s, modality) for s in real]
    assert forms == [s if modality is PROTEIN else s.lower() for s in real]
    wrapped = ["\n".join(s[i : i + 60] for i in range(0, len(s), 60)) for s in real]
    assert [normal_form(f">{n} x\n{s}\n", modality) for n, s in enumerate(wrapped)] == forms
