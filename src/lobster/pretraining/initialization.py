"""Weights to start pretraining from: attention that looks at near neighbours from the first step."""

from typing import Any

import torch

from lobster.model import UmeForMaskedLM

# How far ahead each head looks at first; more heads than that take turns.
OFFSETS = (-1, 1, -2, 2, -3, 3)
_GAIN = 2.5  # puts 80-94 % of a head's attention on its offset at first


@torch.no_grad()
def look_at_neighbours(model: UmeForMaskedLM) -> None:
    """Set the queries and keys of a new network so that each head attends to a fixed offset, in every layer.

    The position vectors are pairs sin(n·ω), cos(n·ω), and a rotation by δ·ω turns those of position n into those of n + δ.
    So a head's keys are the pairs of its first (fastest) frequencies and its queries the same pairs, rotated. The token
    embeddings are 0 there at first. Nothing is frozen: training goes on from here as from any other start. With it, a
    network of 12M parameters learns from its neighbours in tens of steps what otherwise takes hundreds
    (docs/models.md); the idea is that of d'Ascoli et al., "ConViT", ICML 2021, and of Trockman and Kolter, "Mimetic
    initialization of self-attention layers", ICML 2023.

    Args:
        model: A network with new weights.
    """
    config = model.config
    width, heads = config.hidden_size, config.num_attention_heads
    half, pairs = width // 2, width // heads // 2
    k = torch.arange(pairs)
    omega = 10000.0 ** (-k / max(half - 1, 1))
    embeddings = model.embeddings.tok_embeddings.weight
    embeddings[:, k] = 0
    embeddings[:, half + k] = 0
    layers: Any = model.layers
    for layer in layers:
        queries, keys, _ = layer.attn.Wqkv.weight.view(3, heads, 2 * pairs, width).unbind()
        queries.zero_()
        keys.zero_()
        for head in range(heads):
            cos, sin = _GAIN * torch.cos(omega * OFFSETS[head % 6]), _GAIN * torch.sin(omega * OFFSETS[head % 6])
            queries[head, k, k], queries[head, k, half + k] = cos, sin
            queries[head, pairs + k, half + k], queries[head, pairs + k, k] = cos, -sin
            keys[head, k, k] = keys[head, pairs + k, half + k] = _GAIN
