"""What holds a policy's composition."""

import json
from string import ascii_uppercase

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from lobster.evaluation import sample
from lobster.model.checkpoints import find_model
from lobster.rl_training import create_ume_grpo_trainer
from lobster.rl_training.composition import Composition, letters_of_tokens, without_outliers

GROUP = 64


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def written(generator: torch.Generator, logits: torch.Tensor, count: int = GROUP) -> torch.Tensor:
    """Return counts of the tokens of sequences of 50, which differ in what they are made of: (count, vocabulary)."""
    own = logits + 0.3 * torch.randn(count, len(logits), generator=generator)
    tokens = torch.multinomial(own.softmax(-1), 50, replacement=True, generator=generator)
    return torch.zeros(count, len(logits), dtype=torch.long).scatter_add(1, tokens, torch.ones_like(tokens))


def test_what_is_left_of_an_advantage_goes_up_with_no_token(generator):
    held = Composition(written(generator, torch.zeros(6), 1000))
    batches = []
    for _ in range(30):
        counts = written(generator, torch.zeros(6))
        order = torch.randn(GROUP, generator=generator)  # what is not a matter of tokens
        advantages = order + counts[:, 0] - 0.5 * counts[:, 3]
        advantages = advantages - advantages.mean()
        left = held.unexplained(counts, advantages, GROUP)
        batches.append(torch.column_stack([order, advantages, left, counts]))
    related = torch.cat(batches[10:]).T.corrcoef()
    assert related[0, 2] > 0.95
    assert related[1, 3] > 0.7  # the first token, that the advantages go up with
    assert related[2, 3:].abs().max() < 0.1


def test_what_is_left_of_an_advantage_does_not_go_up_with_unevenness(generator):
    """Sequences rich in the first letter and others rich in the second: together they have as many of both."""
    start = torch.randint(0, 51, (1000,), generator=generator)
    held = Composition(torch.stack([start, 50 - start], dim=1))
    batches = []
    for _ in range(30):
        first = torch.randint(0, 51, (GROUP,), generator=generator)
        counts = torch.stack([first, 50 - first], dim=1)
        order = torch.randn(GROUP, generator=generator)
        uneven = (first - 25.0).square() / 100
        advantages = order + uneven
        left = held.unexplained(counts, advantages - advantages.mean(), GROUP)
        batches.append(torch.column_stack([order, advantages, left, uneven]))
    related = torch.cat(batches[10:]).T.corrcoef()
    assert related[1, 3] > 0.8
    assert related[0, 2] > 0.95
    assert abs(related[2, 3]) < 0.1


@pytest.mark.parametrize(("now", "sign"), [(0.9, -1), (0.3, 0), (0.0, 1)])
def test_what_has_become_more_uneven_or_less_is_led_back(generator, now, sign):
    """By what nothing else says: the advantages are noise."""

    def sequences(spread: float, count: int) -> torch.Tensor:
        return torch.stack(
            [written(generator, spread * torch.randn(8, generator=generator), 1)[0] for _ in range(count)]
        )

    held = Composition(sequences(0.3, 2000))
    batches = []
    for _ in range(20):
        counts = sequences(now, GROUP)
        expected = counts.sum(1, keepdim=True) / 8
        uneven = ((counts - expected).square() / expected).mean(1)
        advantages = torch.randn(GROUP, generator=generator)
        advantages = advantages - advantages.mean()
        left = held.unexplained(counts, advantages, GROUP)
        batches.append(torch.column_stack([advantages, left, uneven]))
    noise, led = torch.cat(batches[10:]).T.corrcoef()[:2, 2]
    assert noise.abs() < 0.1
    assert led.abs() < 0.2 if sign == 0 else sign * led > 0.4
    assert (held.unevenness() > 1.2, held.unevenness() < 0.8) == (sign < 0, sign > 0)


def test_a_policy_that_wrote_one_sequence_may_write_others():
    """Its unevenness was 0: what is above it has no scale."""
    held = Composition(torch.tensor([[25, 25]] * 10))
    left = held.unexplained(
        torch.tensor([[25, 25], [50, 0], [20, 30], [0, 50]]), torch.tensor([1.0, 1.0, -1.0, -1.0]), 4
    )
    assert left.isfinite().all()
    assert left.abs().max() < 10


def test_what_is_not_learned_from_explains_nothing(generator):
    counts, advantages = written(generator, torch.zeros(4)), torch.randn(GROUP, generator=generator)
    left = Composition(torch.full((4, 4), 250)).unexplained(counts, advantages - advantages.mean(), GROUP)
    more = torch.cat([counts, torch.zeros_like(counts)])
    loud = torch.cat([advantages - advantages.mean(), torch.full((GROUP,), 100.0)])
    assert torch.allclose(
        Composition(torch.full((4, 4), 250)).unexplained(more, loud, 2 * GROUP)[:GROUP], left, atol=1e-6
    )


def test_each_prompt_may_have_its_own_composition(generator):
    held = Composition(written(generator, torch.zeros(4), 1000))
    kinds = [torch.tensor([3.0, 0, 0, 0]), torch.tensor([0, 3.0, 0, 0])]
    counts = torch.cat([written(generator, kind) for kind in kinds])
    advantages = torch.randn(2, GROUP, generator=generator)
    left = held.unexplained(counts, (advantages - advantages.mean(1, keepdim=True)).flatten(), GROUP)
    assert left.unflatten(0, (2, GROUP)).mean(1).abs().max() < 1e-6


def test_a_drift_is_taken_back_in_the_output_layer(generator):
    hidden, vocabulary = torch.randn(16, generator=generator), 6
    output = torch.randn(vocabulary, 16, generator=generator) / 4
    before = (output @ hidden).softmax(-1)
    held = Composition((before * 1e6).long()[None])
    output[2] += 1.5 * hidden / hidden.dot(hidden)
    assert (output @ hidden).softmax(-1)[2] > 1.5 * before[2]
    for _ in range(20):
        held.remember(written(generator, output @ hidden).sum(0))
        held.hidden = hidden.double()
        held.correct(output, torch.eye(vocabulary))
    after = (output @ hidden).softmax(-1)
    assert torch.allclose(after, before, rtol=0.15)
    assert held.largest_drift() < 0.15


def test_nothing_is_corrected_before_the_layer_was_seen(generator):
    held, output = Composition(torch.tensor([[50, 50]])), torch.ones(2, 4)
    held.remember(torch.tensor([9, 1]))
    held.correct(output, torch.eye(2))
    assert torch.equal(output, torch.ones(2, 4))


def test_a_policy_that_learns_slowly_is_corrected_slowly():
    outputs = torch.zeros(2, 2, 3)
    for pace, output in zip((1.0, 0.25), outputs, strict=True):
        held = Composition(torch.tensor([[50, 50]]))
        held.hidden = torch.ones(3, dtype=torch.float64)
        held.remember(torch.tensor([900, 100]))
        held.correct(output, torch.eye(2), pace)
    assert outputs[0, 0, 0] < 0 < outputs[0, 1, 0]
    assert torch.allclose(outputs[1], 0.25 * outputs[0])


def test_rare_letters_are_left_alone():
    held = Composition(torch.tensor([[5000, 4999, 1, 0]]))
    assert held.common.tolist() == [True, True, False, False]
    counts = torch.tensor([[5, 5, 40, 0], [5, 5, 0, 40]])
    assert held.unexplained(counts, torch.tensor([1.0, -1.0]), 2).tolist() == [1.0, -1.0]
    held.remember(counts.sum(0))
    assert held.largest_drift() == pytest.approx(0, abs=1e-3)


def test_tokens_of_several_letters_are_read_as_letters():
    tokenizer = AutoTokenizer.from_pretrained(find_model("coding-policy-3M"))
    letters = letters_of_tokens(tokenizer, len(tokenizer) + 3)
    ids = tokenizer("ATGGGG", add_special_tokens=False)["input_ids"]
    assert len(ids) == 2
    came = letters[ids].sum(0)
    assert {ascii_uppercase[i]: came[i].item() for i in came.nonzero()[:, 0]} == {"A": 1, "G": 4, "T": 1}
    assert letters[tokenizer.eos_token_id].nonzero()[:, 0].tolist() == [26]
    assert not letters[[tokenizer.pad_token_id, *range(len(tokenizer), len(tokenizer) + 3)]].any()


def test_letters_are_taken_back_through_the_tokens_that_hold_them():
    """Pairs of two letters: what is written too often is the first."""
    letters, hidden = torch.tensor([[2, 0], [1, 1], [1, 1], [0, 2]]), torch.ones(3)
    held, output = Composition(torch.tensor([[40, 40]])), torch.zeros(4, 3)
    held.hidden = hidden.double()
    for _ in range(3):
        held.remember(torch.tensor([40, 20, 20, 10]) @ letters)
        held.correct(output, letters)
    logits = output @ hidden
    assert logits[0] < logits[1] == logits[2] < logits[3]


def test_it_goes_on_from_json_as_it_would_have(generator):
    held = Composition(written(generator, torch.zeros(5), 1000))
    held.unexplained(written(generator, torch.zeros(5)), torch.randn(GROUP, generator=generator), GROUP)
    held.hidden = torch.randn(8, generator=generator).double()
    again = Composition.restored(json.loads(json.dumps(held.state())))
    counts, advantages = written(generator, torch.ones(5)), torch.randn(GROUP, generator=generator)
    outputs = torch.zeros(2, 5, 8)
    for one, output in zip((held, again), outputs, strict=True):
        one.left = one.unexplained(counts, advantages, GROUP)
        one.remember(counts.sum(0))
        one.correct(output, torch.eye(5))
    assert torch.equal(held.left, again.left)
    assert torch.equal(*outputs)
    assert outputs.any()


def test_a_failure_is_no_louder_than_three_spreads():
    group = torch.tensor([0.1, -0.2, 0.3, -0.1, 0.2, 0.0, -0.3, -6.0])
    bounded = without_outliers(torch.cat([group, group * 10]), 8)
    assert bounded.unflatten(0, (2, 8)).sum(1).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert bounded[:8].argsort().tolist() == group.argsort().tolist()
    assert -1.5 < bounded[7] < -0.8
    assert bounded[15] == pytest.approx(10 * bounded[7].item(), rel=1e-5)


def test_groups_without_a_spread_are_left_as_they_are():
    mostly_failures = torch.tensor([-1.0, -1.0, -1.0, -1.0, 4.0])
    assert torch.equal(without_outliers(mostly_failures, 5), mostly_failures)


PAID = {  # by another reward than the UME's
    "reward_weights": [0.0, 10.0],
    "mask_truncated_completions": False,
    "per_device_train_batch_size": 64,
    "num_generations": 64,
    "max_completion_length": 24,
    "learning_rate": 5e-4,
    "save_strategy": "no",
    "report_to": "none",
}


def alanine(completions: list[str], **_: object) -> list[float]:
    return [text.count("A") / max(1, len(text)) for text in completions]


def frequency(texts: list[str], letter: str) -> float:
    return "".join(texts).count(letter) / len("".join(texts))


@pytest.mark.parametrize(("hold", "least", "most"), [(True, 0.75, 1.33), (False, 1.6, 20.0)])
def test_a_reward_for_alanine_makes_no_alanine_where_it_is_held(hold, least, most, tiny_ume, tmp_path):
    trainer = create_ume_grpo_trainer(
        "protein-policy-3M",
        tiny_ume,
        Dataset.from_dict({"prompt": [""] * 8, "modality": ["amino_acid"] * 8}),
        output_dir=tmp_path,
        hold_composition=hold,
        reward_funcs=alanine,
        max_steps=12,
        **PAID,
    )
    before = frequency(sample(trainer.model, trainer.processing_class, 512, max_new_tokens=24), "A")
    trainer.train()
    after = frequency(sample(trainer.model, trainer.processing_class, 512, max_new_tokens=24), "A")
    assert least < after / before < most


def extremes(completions: list[str], **_: object) -> list[float]:
    return [abs(frequency([text], "G") + frequency([text], "C") - 0.47) if text else 0.0 for text in completions]


@pytest.mark.parametrize(("hold", "least", "most"), [(True, 0.6, 1.6), (False, 3.0, 20.0)])
def test_a_reward_for_few_letters_in_each_makes_them_no_fewer_where_they_are_held(
    hold, least, most, tiny_ume, tmp_path
):
    """Genes rich in A and T, and others in G and C: together they may have the letters of the start."""
    trainer = create_ume_grpo_trainer(
        "coding-policy-3M",
        tiny_ume,
        Dataset.from_dict({"prompt": [""] * 8, "modality": ["nucleotide"] * 8}),
        output_dir=tmp_path,
        hold_composition=hold,
        reward_funcs=extremes,
        max_steps=16,
        **PAID,
    )
    before = extremes(sample(trainer.model, trainer.processing_class, 512, max_new_tokens=24))
    trainer.train()
    after = extremes(sample(trainer.model, trainer.processing_class, 512, max_new_tokens=24))
    change = sum(value**2 for value in after) / sum(value**2 for value in before)
    assert least < change < most


@pytest.mark.parametrize("rate", [0.0, 1e-4])
def test_an_optimizer_of_ones_own_sets_the_pace(tiny_ume, tmp_path, rate):
    """The arguments' learning rate says nothing about it; at 0 nothing moves, the output layer included."""
    folder = find_model("protein-policy-3M")
    policy = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    before = policy.get_output_embeddings().weight.detach().clone()
    trainer = create_ume_grpo_trainer(
        policy,
        tiny_ume,
        Dataset.from_dict({"prompt": [""] * 8, "modality": ["amino_acid"] * 8}),
        output_dir=tmp_path,
        processing_class=AutoTokenizer.from_pretrained(folder),
        mask_truncated_completions=False,
        optimizers=(torch.optim.SGD(policy.parameters(), lr=rate), None),
        per_device_train_batch_size=16,
        num_generations=16,
        max_completion_length=24,
        learning_rate=1e-9,
        max_steps=3,
        save_strategy="no",
        report_to="none",
    )
    trainer.train()
    moved = (policy.get_output_embeddings().weight.detach().cpu() - before).abs().max()
    assert (moved == 0) == (rate == 0)
    assert moved < 1
