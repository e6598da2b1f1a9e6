"""Sampling from a policy."""

from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase


@torch.inference_mode()
def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    count: int,
    prompt: str = "",
    max_new_tokens: int = 126,
    batch_size: int = 128,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[str]:
    """Return completions of a prompt, sampled from the whole distribution (no top-k, no top-p).

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        count: How many completions to draw.
        prompt: What they continue.
        max_new_tokens: Where a completion that does not end is cut.
        batch_size: Completions in a batch.
        temperature: Of the softmax.
        seed: Of the draws; the global random state is left as it was.
    """
    was_training = model.training
    model.eval()
    inputs = tokenizer(prompt, return_tensors="pt").to(model.device)
    inputs.pop("token_type_ids", None)
    generate: Any = model.generate
    texts: list[str] = []
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        while len(texts) < count:
            output = generate(
                **inputs,
                do_sample=True,
                temperature=temperature,
                top_k=0,
                top_p=1.0,
                num_return_sequences=min(batch_size, count - len(texts)),
                max_new_tokens=max_new_tokens,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
            texts += tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    model.train(was_training)
    return texts
