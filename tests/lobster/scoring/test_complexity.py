"""Complexity: real sequences keep their reward, fooling ones lose it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobster.constants import Modality
from lobster.scoring import complexity
from lobster.sequences import normal_form, read_sequences


@pytest.mark.parametrize("modality", list(Modality))
def test_99_percent_of_real_sequences_keep_their_full_reward(modality, held_out):
    sequences = [form for s in held_out(modality)[:3000] if (form := normal_form(s, modality))]
    assert np.mean([complexity(s, modality) == 1 for s in sequences]) >= 0.99


def test_so_do_proteins_of_other_families(shared):
    proteins = read_sequences(shared("data/protein/valid_family.fasta.gz"))
    assert np.mean([complexity(s, "amino_acid") == 1 for s in proteins]) >= 0.99


@pytest.mark.parametrize(
    ("sequence", "modality"),
    [
        ("CC(=O)NCC(=O)NCC(=O)NCC(=O)NCC(N)=O", Modality.SMILES),  # a peptide of one residue
        (".".join(["CC(=O)Oc1ccccc1C(=O)O"] * 2), Modality.SMILES),  # twice the same molecule
        ("MKTAYIAKQRQISFVKSHFSRQ" * 4, Modality.AMINO_ACID),  # a long period
        ("MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ" + "GS" * 40, Modality.AMINO_ACID),  # a real start, a repeat after it
        ("atggcctacgtagctagctaccgt" * 10, Modality.NUCLEOTIDE),
        ("atgaaagcgtacctgattgcg" + "ca" * 90, Modality.NUCLEOTIDE),
    ],
)
def test_partial_and_long_repeats_lose_most(sequence, modality):
    assert complexity(sequence, modality) < 0.35


@given(st.sampled_from(["amino_acid", "nucleotide"]), st.data())
def test_it_is_a_number_for_any_letters(modality, data):
    letters = "ACDEFGHIKLMNPQRSTVWYXBZUO*" if modality == "amino_acid" else "acgtunryswkmbdhv"
    assert 0.01 <= complexity(data.draw(st.text(letters, min_size=1, max_size=300)), modality) <= 1
