"""Metrics of generated molecules, and sampling from a policy."""

import math

import pytest
import torch
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from transformers import LlamaConfig, LlamaForCausalLM

from lobster.constants import Modality
from lobster.evaluation import internal_diversity, sample, smiles_metrics
from lobster.pretraining.policy import policy_tokenizer

TOKENS = ["C", "O", "N", "c", "1", "(", ")", "=", "[NH3+]", "Cl"]


def test_validity_uniqueness_and_length_by_hand():
    metrics = smiles_metrics(["CCO", "OCC", "c1ccccc1", "C1CC", "", "hello"])
    assert metrics.count == 6
    assert metrics.validity == pytest.approx(3 / 6)
    assert metrics.uniqueness == pytest.approx(2 / 3)
    assert metrics.mean_length == pytest.approx((3 + 3 + 8 + 4 + 0 + 5) / 6)


def test_internal_diversity_is_over_all_pairs():
    molecules = ["CCO", "CCN", "c1ccccc1O", "CC(=O)Oc1ccccc1C(=O)O"]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    bits = [set(generator.GetFingerprint(Chem.MolFromSmiles(s)).GetOnBits()) for s in molecules]
    pairs = [(i, j) for i in range(4) for j in range(i)]
    similarities = [len(bits[i] & bits[j]) / len(bits[i] | bits[j]) for i, j in pairs]
    assert 0 < sum(similarities) < 6
    assert internal_diversity(molecules) == pytest.approx(1 - sum(similarities) / 6)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in molecules]
    assert similarities == pytest.approx([DataStructs.TanimotoSimilarity(prints[i], prints[j]) for i, j in pairs])


def test_internal_diversity_counts_valid_molecules_only():
    assert smiles_metrics(["CCO", "nonsense", "c1ccccc1"]).internal_diversity == internal_diversity(["CCO", "c1ccccc1"])


def test_duplicates_lower_the_diversity():
    distinct = ["CCO", "c1ccccc1", "CC(=O)N"]
    assert internal_diversity([*distinct, "CCO"]) < internal_diversity(distinct)
    assert internal_diversity(["CCO"] * 5) == 0


def test_spelling_of_a_molecule_does_not_matter():
    assert smiles_metrics(["OCC", "C(O)C"]).uniqueness == 0.5
    assert smiles_metrics(["OCC", "C(O)C"]).internal_diversity == 0


def test_nothing_can_be_said_of_no_strings():
    metrics = smiles_metrics([])
    assert metrics.count == 0
    assert all(
        math.isnan(v) for v in (metrics.validity, metrics.uniqueness, metrics.internal_diversity, metrics.mean_length)
    )


def test_of_invalid_strings_only_the_validity_is_known():
    metrics = smiles_metrics(["C1CC", "("])
    assert metrics.validity == 0
    assert math.isnan(metrics.uniqueness)
    assert math.isnan(metrics.internal_diversity)


@pytest.mark.parametrize("molecules", [[], ["CCO"]])
def test_diversity_needs_two_molecules(molecules: list[str]):
    assert math.isnan(internal_diversity(molecules))


@pytest.fixture(scope="module")
def tokenizer():
    return policy_tokenizer(TOKENS, Modality.SMILES)


@pytest.fixture(scope="module")
def policy(tokenizer) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config)


@pytest.mark.parametrize(("count", "batch_size"), [(0, 4), (1, 4), (7, 4), (8, 4), (3, 128)])
def test_sample_gives_as_many_strings_as_asked_for(policy, tokenizer, count: int, batch_size: int):
    texts = sample(policy, tokenizer, count, max_new_tokens=8, batch_size=batch_size)
    assert len(texts) == count
    assert all(isinstance(text, str) and "<" not in text and " " not in text for text in texts)


def test_samples_follow_from_the_seed(policy, tokenizer):
    first, again, other = (sample(policy, tokenizer, 12, max_new_tokens=8, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len(set(first)) > 6


def test_batches_of_a_run_differ(policy, tokenizer):
    texts = sample(policy, tokenizer, 12, max_new_tokens=8, batch_size=4)
    assert texts[:4] != texts[4:8] != texts[8:]


def test_a_prompt_is_left_out_of_the_completions(policy, tokenizer):
    texts = sample(policy, tokenizer, 4, prompt="C[NH3+]", max_new_tokens=1)
    assert all(text in {"", *TOKENS} for text in texts)


@pytest.mark.parametrize("training", [True, False])
def test_sampling_leaves_the_random_state_and_the_mode_alone(policy, tokenizer, training: bool):
    policy.train(training)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    sample(policy, tokenizer, 3, max_new_tokens=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert policy.training is training
