"""Metrics of generated molecules, and sampling from a policy."""

import json
import math
import random
from dataclasses import asdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.QED import qed
from transformers import LlamaConfig, LlamaForCausalLM

from lobster.constants import Modality
from lobster.evaluation import (
    biased_composition,
    frequency_difference,
    identity,
    internal_diversity,
    sample,
    sample_metrics,
    smiles_metrics,
)
from lobster.evaluation.__main__ import main
from lobster.pretraining.policy import policy_tokenizer

TOKENS = ["C", "O", "N", "c", "1", "(", ")", "=", "[NH3+]", "Cl"]


def test_validity_uniqueness_and_length_by_hand():
    metrics = smiles_metrics(["CCO", "OCC", "c1ccccc1", "C1CC", "", "hello"])
    assert metrics.count == 6
    assert metrics.validity == pytest.approx(3 / 6)
    assert metrics.uniqueness == pytest.approx(2 / 3)
    assert metrics.mean_length == pytest.approx((3 + 3 + 8 + 4 + 0 + 5) / 6)


def test_internal_diversity_by_hand():
    molecules = ["CCO", "CCN"]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    one, other = (set(generator.GetFingerprint(Chem.MolFromSmiles(s)).GetOnBits()) for s in molecules)
    similarity = len(one & other) / len(one | other)
    assert 0 < similarity < 1
    assert internal_diversity(molecules) == pytest.approx(1 - (1 + 1 + 2 * similarity) / 4)


def test_internal_diversity_is_over_all_ordered_pairs():
    molecules = ["CCO", "CCN", "c1ccccc1O", "CC(=O)Oc1ccccc1C(=O)O"]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in molecules]
    similarities = [DataStructs.TanimotoSimilarity(p, q) for p in prints for q in prints]
    assert internal_diversity(molecules) == pytest.approx(1 - sum(similarities) / 16)


def test_internal_diversity_counts_valid_molecules_only():
    assert smiles_metrics(["CCO", "nonsense", "c1ccccc1"]).internal_diversity == internal_diversity(["CCO", "c1ccccc1"])


def test_duplicates_lower_the_diversity():
    distinct = ["CCO", "c1ccccc1", "CC(=O)N"]
    assert internal_diversity([*distinct, "CCO"]) < internal_diversity(distinct)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(["CCO", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "[Na+].[Cl-]"]), st.integers(1, 9))
def test_one_molecule_many_times_has_no_diversity(smiles: str, times: int):
    metrics = smiles_metrics([smiles] * times)
    assert metrics.internal_diversity == 0
    assert metrics.uniqueness == pytest.approx(metrics.scaffold_diversity) == pytest.approx(1 / times)


def test_spelling_of_a_molecule_does_not_matter():
    metrics = smiles_metrics(["OCC", "C(O)C"], reference=["CCO"])
    assert (metrics.uniqueness, metrics.internal_diversity, metrics.novelty) == (0.5, 0, 0)


def test_novelty_is_of_the_distinct_valid_molecules():
    samples = ["CCO", "CCO", "CCN", "CCF", "CCCl", "C1CC"]
    assert smiles_metrics(samples, reference=["OCC", "nonsense"]).novelty == pytest.approx(3 / 4)
    assert smiles_metrics(samples, reference=[]).novelty == 1
    assert math.isnan(smiles_metrics(samples).novelty)


def test_acyclic_molecules_share_the_empty_scaffold():
    benzenes = ["c1ccccc1", "Cc1ccccc1O", "C1CC"]  # the last one is invalid
    assert smiles_metrics(benzenes).scaffold_diversity == 1 / 2
    assert smiles_metrics([*benzenes, "CCO", "CCCC", "C1CCCCC1C"]).scaffold_diversity == 3 / 5


def test_filters_and_drug_likeness():
    rhodanine, aldehyde, toluidine = "O=C1NC(=S)SC1=Cc1ccccc1", "O=CCCC", "Cc1ccc(N)cc1"
    assert smiles_metrics([rhodanine, aldehyde]).filters_passed == 0
    metrics = smiles_metrics(["CC(=O)Nc1ccccc1", "CC(=O)Nc1ccccc1", aldehyde, "("])
    assert metrics.filters_passed == pytest.approx(2 / 3)
    one, other = (qed(Chem.MolFromSmiles(s)) for s in ("CC(=O)Nc1ccccc1", aldehyde))
    assert metrics.qed == pytest.approx((2 * one + other) / 3)
    assert 0 < smiles_metrics([toluidine]).qed < 1


MOSES_TEST = [
    "CNC", "Oc1ccccc1-c1cccc2cnccc12", "INVALID", "CCCP",
    "Cc1noc(C)c1CN(C)C(=O)Nc1cc(F)cc(F)c1", "Cc1nc(NCc2ccccc2)no1-c1ccccc1",
]  # fmt: skip


def test_figures_that_moses_publishes_for_its_own_example():
    """The molecules and the figures that the tests of `molsets` 0.3.1 expect."""
    metrics = smiles_metrics(MOSES_TEST)
    assert metrics.validity == pytest.approx(2 / 3)
    assert metrics.uniqueness == 1
    assert metrics.internal_diversity == pytest.approx(0.7189187309761661)


def test_figures_of_moses_itself(held_out):
    moses = pytest.importorskip("moses.metrics.metrics")
    samples = [s[: len(s) - 8 * (i % 10 == 0)] for i, s in enumerate(held_out(Modality.SMILES)[:300])] * 2
    metrics = smiles_metrics(samples, reference=samples[:100])
    valid = moses.remove_invalid(samples)
    assert metrics.validity == pytest.approx(moses.fraction_valid(samples))
    assert metrics.uniqueness == pytest.approx(moses.fraction_unique(valid))
    assert metrics.novelty == pytest.approx(moses.novelty(valid, valid[: len(moses.remove_invalid(samples[:100]))]))
    assert metrics.internal_diversity == pytest.approx(moses.internal_diversity(valid), abs=1e-5)


def test_of_invalid_strings_only_the_validity_is_known():
    metrics = smiles_metrics(["C1CC", "("], reference=["CCO"])
    assert metrics.validity == 0
    assert math.isnan(metrics.uniqueness)
    assert math.isnan(metrics.internal_diversity)
    assert math.isnan(metrics.novelty)


@pytest.mark.parametrize("modality", list(Modality))
@pytest.mark.parametrize("reference", [None, []])
def test_nothing_can_be_said_of_no_samples(modality: Modality, reference: list[str] | None):
    figures = asdict(sample_metrics([], modality, reference))
    assert figures.pop("count") == 0
    assert all(map(math.isnan, figures.values()))


@pytest.mark.parametrize("modality", list(Modality))
def test_real_sequences_are_valid_distinct_and_diverse(held_out, modality: Modality):
    sequences = [s for s in held_out(modality) if len(s) < 200][:60]
    metrics = sample_metrics(sequences, modality, reference=sequences[:30])
    assert metrics.validity > 0.9
    assert metrics.uniqueness > 0.9
    assert metrics.novelty == pytest.approx(0.5, abs=0.1)
    assert metrics.internal_diversity > 0.7
    assert metrics.mean_length == pytest.approx(sum(map(len, sequences)) / 60)


def test_proteins_by_hand():
    parent, child = "MKTVRQERLKSIVRILERSK", "MKTVRQERLKSIVRILERSA"  # 19 of 20
    other = "GGWWHHCCDDYYFFPPNNAA"
    metrics = sample_metrics([parent, child, child, other, "MKX", "MKJ", ""], Modality.AMINO_ACID, [parent])
    assert metrics.count == 7
    assert metrics.validity == 4 / 7
    assert metrics.uniqueness == 3 / 4
    assert metrics.novelty == pytest.approx(1 / 3)
    assert metrics.families_per_sequence == 2 / 4
    assert metrics.largest_family == 3 / 4
    unlike = identity(parent, other, Modality.AMINO_ACID) + 2 * identity(child, other, Modality.AMINO_ACID)
    assert metrics.internal_diversity == pytest.approx(1 - (2 * 0.95 + 1 + unlike) / 6)
    assert metrics.mean_length == 86 / 7


def test_dna_and_rna_in_any_case_are_compared():
    gene = "ATGGCCAAATTTGGGCCCTAA"
    metrics = sample_metrics([gene, gene.lower().replace("t", "u"), "ATGQ"], Modality.NUCLEOTIDE, [gene])
    assert (metrics.validity, metrics.uniqueness, metrics.novelty) == (2 / 3, 1 / 2, 0)
    assert (metrics.internal_diversity, metrics.largest_family, metrics.frequency_difference) == (0, 1, 0)


@settings(deadline=None, max_examples=20)
@given(st.text(alphabet="ACDEFGHIKLMNPQRSTVWY", min_size=1, max_size=40), st.integers(2, 6))
def test_one_protein_many_times_has_no_diversity(protein: str, times: int):
    metrics = sample_metrics([protein] * times, Modality.AMINO_ACID, [protein])
    assert metrics.internal_diversity == metrics.novelty == metrics.frequency_difference == 0
    assert metrics.largest_family == 1
    assert metrics.families_per_sequence == 1 / times


def test_frequencies_by_hand():
    assert frequency_difference(["AAC"], ["AACC"]) == pytest.approx(1 / 3)
    assert frequency_difference(["AC"], ["AC" * 200 + "G"]) == pytest.approx(200.5 / 200 - 1)  # G is too rare to count
    assert frequency_difference(["A"], ["AC"]) == 1
    assert math.isnan(frequency_difference(["A"], []))


def test_what_is_made_of_few_letters_is_biased_whatever_all_of_it_is_made_of():
    rng = random.Random(0)
    real = ["".join(rng.choices("ACGT", k=100)) for _ in range(400)]
    rich = ["".join(rng.choices("ACGT", weights, k=100)) for weights in 100 * [(4, 1, 1, 4), (1, 4, 4, 1)]]
    fresh = ["".join(rng.choices("ACGT", k=100)) for _ in range(400)]
    assert frequency_difference(rich, real) < 0.05
    assert biased_composition(rich, real) > 0.95
    assert biased_composition(fresh, real) < 0.1
    assert biased_composition(real, real) == 0.05
    assert math.isnan(biased_composition([], real))


@pytest.mark.parametrize(
    ("modality", "lines"),
    [("SMILES", "CCO ethanol\n\nOCC\n"), ("amino_acid", ">one\nMKTV\nRQERLK\n>two\nM?\n>three\nMKTVRQERLK\n")],
)
def test_the_command_prints_a_table_and_json(tmp_path, capsys, modality: str, lines: str):
    (tmp_path / "samples").write_text(lines)
    (tmp_path / "reference").write_text("MKTVRQERLK\n" if modality == "amino_acid" else "C\n")
    arguments = ["samples", f"{tmp_path}/samples", "--modality", modality, "--json", f"{tmp_path}/out.json"]
    main([*arguments, "--reference", f"{tmp_path}/reference"])
    output = capsys.readouterr().out
    assert f"| {modality} | validity | 3 | 0.667 | – |" in output
    report = json.loads((tmp_path / "out.json").read_text(), parse_constant=pytest.fail)
    assert report == json.loads(output.splitlines()[-1])
    figures = {f["name"]: f["value"] for f in report["figures"]}
    assert figures["uniqueness"] == 0.5
    assert figures["novelty"] == (1 if modality == "SMILES" else 0)
    main(arguments)
    assert f"| {modality} | novelty | 3 | – | – |" in capsys.readouterr().out
    report = json.loads((tmp_path / "out.json").read_text(), parse_constant=pytest.fail)
    assert {f["name"]: f["value"] for f in report["figures"]}["novelty"] is None


def test_a_file_without_sequences_is_named(tmp_path):
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ValueError, match="holds no sequences"):
        main(["samples", f"{tmp_path}/empty", "--modality", "SMILES"])


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


def test_odd_molecules_and_sequences_are_measured():
    odd = [
        "[Pt]<-[o]1cccc1",
        "Cc1nnc(C)[o]1->[Pt]",
        "OC1=CC=C~N1",
        "*CC",
        "[2H]C",
        "C",
        "[H][H]",
        "[Na+].[Cl-]." * 300 + "C",
    ]
    metrics = smiles_metrics(odd, odd)
    assert (metrics.validity, metrics.uniqueness, metrics.novelty) == (6 / 8, 5 / 6, 0)
    wrapped = [">a\nMKTV\nRQERLK*", "mktvrqerlk", "MKTVRQERLK", "MKX"]
    metrics = sample_metrics(wrapped, Modality.AMINO_ACID, ["MKTVRQERLK*"])
    assert (metrics.validity, metrics.uniqueness, metrics.novelty) == (3 / 4, 1 / 3, 0)


def test_internal_diversity_names_what_is_no_molecule():
    with pytest.raises(ValueError, match="'C1CC' is not a SMILES"):
        internal_diversity(["CCO", "C1CC"])
