"""Corruptions are what they say, and held-out figures equal slow computations."""

import math
import re
from collections import Counter

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lobster.constants import Modality
from lobster.evaluation import policy_perplexity, ume_figures
from lobster.evaluation.corruption import corrupt_letters, replace_tokens, swap_tokens
from lobster.model.utils import canonical_smiles
from lobster.pretraining.policy import policy_tokenizer
from lobster.tokenization.vocabulary import SMILES_PATTERN

DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "CC(C)Cc1ccc(C(C)C(=O)O)cc1", "Cn1c(=O)c2c(ncn2C)n(C)c1=O"]


def tokens(smiles: str) -> Counter:
    return Counter(re.findall(SMILES_PATTERN, smiles))


@pytest.mark.parametrize("smiles", DRUGS)
def test_swaps_keep_the_tokens_and_make_another_molecule(smiles):
    rng = np.random.default_rng(0)
    found = [c for c in (swap_tokens(smiles, rng) for _ in range(10)) if c]
    assert len(found) >= 5
    for corrupted in found:
        assert tokens(corrupted) == tokens(smiles)
        assert canonical_smiles(corrupted) not in (None, canonical_smiles(smiles))


@pytest.mark.parametrize("smiles", DRUGS)
def test_replacements_change_at_most_four_tokens(smiles):
    rng = np.random.default_rng(0)
    found = [c for c in (replace_tokens(smiles, list("CNOFcn"), rng) for _ in range(10)) if c]
    assert len(found) >= 5
    for corrupted in found:
        before, after = re.findall(SMILES_PATTERN, smiles), re.findall(SMILES_PATTERN, corrupted)
        assert 1 <= sum(a != b for a, b in zip(before, after, strict=True)) <= 4
        assert canonical_smiles(corrupted) not in (None, canonical_smiles(smiles))


def test_no_corruption_of_a_single_atom_is_none():
    assert swap_tokens("C", np.random.default_rng(0)) is None


@pytest.mark.parametrize(("modality", "sequence"), [("amino_acid", "MKTVRQERLK" * 10), ("nucleotide", "ACGT" * 25)])
def test_letters_are_replaced_at_the_rate(modality, sequence):
    corrupted = corrupt_letters(sequence, Modality(modality), np.random.default_rng(0), 0.2)
    assert sum(a != b for a, b in zip(sequence, corrupted, strict=True)) == 20


def test_perplexities_of_a_ume_are_means_over_tokens(tiny_ume):
    train, heldout = ["CCO"] * 3 + ["CN"], ["CCO", "c1ccccc1CN"]
    figures = ume_figures(tiny_ume, Modality.SMILES, train, heldout)
    scores = tiny_ume.compute_pseudo_likelihood(heldout, "SMILES")
    expected = math.exp(-(3 * math.log(scores[0]) + 10 * math.log(scores[1])) / 13)
    assert figures.pseudo_perplexity == pytest.approx(expected)
    counts = {"C": 7, "O": 3, "N": 1}
    probability = {t: (counts.get(t, 0) + 1) / (11 + 1280) for t in "CNOc1"}
    spelled = "CCO" + "c1ccccc1CN"
    unigram = math.exp(-sum(math.log(probability[t]) for t in spelled) / 13)
    assert figures.unigram_perplexity == pytest.approx(unigram)
    assert figures.count == 2


def test_perplexity_of_a_policy():
    tokenizer = policy_tokenizer(["C", "O"])
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=6, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    )
    got, unigram, count = policy_perplexity(model, tokenizer, ["CO"], ["CCO", "CN"])
    with torch.no_grad():
        log_p = model(input_ids=torch.tensor([[0, 4, 4, 5]])).logits[0].log_softmax(-1)
    assert count == 1  # the policy cannot spell CN
    assert got == pytest.approx(math.exp(-float(log_p[[0, 1, 2, 3], [4, 4, 5, 1]].mean())), rel=1e-5)
    assert unigram == pytest.approx(math.exp(-np.log(np.array([2, 2, 2, 2]) / 9).mean()))
