"""Sampling from a policy."""

import pytest
import torch

from lobster.evaluation import sample
from lobster.model.policies import end_tokens, load_policy


@pytest.mark.parametrize("declared", [[1, 5], 5, None])
def test_every_end_token_of_the_generation_configuration_ends_a_completion(tiny_policy, declared):
    model, tokenizer = load_policy(tiny_policy)
    model.generation_config.eos_token_id = declared
    ends = end_tokens(model, tokenizer)
    assert ends == ([1] if declared is None else [1, 5])
    texts = sample(model, tokenizer, 64, max_new_tokens=20)
    assert all(tokenizer.decode([5]) not in text for text in texts) == (declared is not None)
    assert tokenizer.decode([5]) == "N"
    lengths = {len(text) for text in texts}
    assert len(lengths) > 3


def test_several_prompts_are_continued_in_turn_as_each_alone(tiny_policy):
    model, tokenizer = load_policy(tiny_policy)
    likeliest = {"max_new_tokens": 6, "temperature": 1e-4}
    prompts = ["C", "OCCNCC", ""]
    alone = [sample(model, tokenizer, 1, prompt, **likeliest)[0] for prompt in prompts]
    assert len(set(alone)) > 1
    assert sample(model, tokenizer, 7, prompts, batch_size=4, **likeliest) == alone * 2 + alone[:1]


def test_sampling_leaves_the_random_state_and_the_mode_alone(tiny_policy):
    model, tokenizer = load_policy(tiny_policy)
    model.train()
    state = torch.get_rng_state()
    assert sample(model, tokenizer, 5, batch_size=2) == sample(model, tokenizer, 5, batch_size=2)
    assert model.training
    assert torch.equal(state, torch.get_rng_state())
