"""Sampling from a policy."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lobster.model.policies import end_tokens, warn_of_unknown


@torch.inference_mode()
def sample(
    model: PreTrainedModel | Any,
    tokenizer: PreTrainedTokenizerBase,
    count: int,
    prompt: str | Sequence[str] = "",
    max_new_tokens: int = 126,
    batch_size: int = 128,
    temperature: float = 1.0,
    seed: int = 0,
    on_batch: Callable[[list[str]], None] = lambda batch: None,
) -> list[str]:
    """Return completions of a prompt, or of several in turn, sampled from the whole distribution (no top-k, no top-p).

    Args:
        model: A causal language model, with or without a LoRA adapter; `lobster.model.policies.load_policy` loads both.
        tokenizer: Its tokenizer.
        count: How many completions to draw.
        prompt: What they continue; several are continued in turn. It warns of one that the policy does not know all of.
        max_new_tokens: Where a completion that does not end is cut, at the latest where the model has no more positions. Any end
            token of the model's generation configuration ends one, and is not part of it.
        batch_size: Completions in a batch.
        temperature: Of the softmax.
        seed: Of the draws; the global random state is left as it was.
        on_batch: Called with each batch once it is written.

    Raises:
        ValueError: A prompt becomes no token, or leaves the model no position to write at.
    """
    was_training = model.training
    model.eval()
    ends = end_tokens(model, tokenizer)
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else ends[0] if ends else 0
    texts = [prompt] if isinstance(prompt, str) else list(prompt)
    tokens = tokenizer(texts).input_ids
    warn_of_unknown(texts, tokens, tokenizer)
    room = (getattr(model.config, "max_position_embeddings", None) or math.inf) - max(map(len, tokens))
    if not all(tokens):
        raise ValueError(
            f"the prompt {texts[tokens.index([])]!r} becomes no token: pass one, or a tokenizer that begins with one"
        )
    if room < 1:
        raise ValueError(
            f"a prompt has {max(map(len, tokens)):,} tokens, and the policy positions for "
            f"{model.config.max_position_embeddings:,}: it has no room to go on"
        )
    prompts = [torch.tensor(ids) for ids in tokens]
    generate: Any = model.generate
    written: list[str] = []
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        while len(written) < count:
            turns = range(len(written), min(len(written) + batch_size, count))
            rows = [prompts[n % len(prompts)] for n in turns]
            inputs = pad_sequence(rows, True, padding, "left").to(model.device)
            output = generate(
                input_ids=inputs,
                attention_mask=pad_sequence([*map(torch.ones_like, rows)], True, 0, "left").to(model.device),
                do_sample=True,
                temperature=temperature,
                top_k=0,
                top_p=1.0,
                max_new_tokens=min(max_new_tokens, room),
                pad_token_id=padding,
                eos_token_id=ends or None,
            )
            ids = [_until(row, ends) for row in output[:, inputs.shape[1] :].tolist()]
            batch = tokenizer.batch_decode(ids, skip_special_tokens=True)
            written += batch
            on_batch(batch)
    model.train(was_training)
    return written


def _until(ids: list[int], ends: list[int]) -> list[int]:
    """Return the ids before the first end token."""
    return ids[: next((i for i, token in enumerate(ids) if token in ends), len(ids))]
