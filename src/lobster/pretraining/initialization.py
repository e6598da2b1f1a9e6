"""Weights to start pretraining from: attention that looks at near neighbours, and positions counted in codons."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu

from lobster.constants import Modality
from lobster.model import Ume, UmeForMaskedLM

# How far ahead each head looks at first; more heads than that take turns.
OFFSETS = (-1, 1, -2, 2, -3, 3)
_GAIN = 2.5  # puts 80-94 % of a head's attention on its offset at first

# What `count_codons` fits its features on: sequences, steps, positions of a step.
_SEQUENCES, _STEPS, _BATCH = 48, 1500, 4096


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


def count_codons(ume: Ume) -> float:
    """Make the first layer write the position within a codon, cos and sin of 2π·n/3, into the residual stream.

    The fastest sinusoid turns by 1 rad a position and the period of codons needs 2.1, so a network does not find by itself
    which frame a base is in, and a coding sequence that is shifted by a base looks as good as before (docs/models.md). But
    three frequencies can add up to 2.1, and a product of three sinusoids is within reach of a GELU: a twelfth of the
    inner features, those that matter least, are fitted to write it, at any length that the network reads and whatever the
    letters are (random ones, a quarter of them masked). It goes into the two directions that the later layers read
    least, so a trained network stays what it was until it learns to read them.

    Args:
        ume: A network, new or trained; it is changed in place.

    Returns:
        The share of the variance of cos and sin that is not explained, on other sequences than the fitted ones.
    """
    first: Any = ume.model.layers[0]
    normed, size = _random_genes(ume)
    length, width = normed.shape[1:]
    angle = 2 * math.pi / 3 * (torch.arange(length) - 1)  # the first base comes after <cls>
    target = torch.stack([angle.cos(), angle.sin()], dim=1)
    seen = _SEQUENCES - 8

    units = len(first.mlp.Wi.weight) // 12
    weak = (first.mlp.Wi.weight.norm(dim=1) * first.mlp.Wo.weight.norm(dim=0)).argsort()[:units]
    fast = torch.arange(width // 8)
    start = torch.zeros(units, width)
    for pairs in (fast, width // 2 + fast):
        start[:, pairs] = 0.6 * torch.randn(units, len(fast))
    start[:, -1] = 2 * torch.randn(units)  # the slowest cosine is constant
    reads = torch.nn.Parameter(start)
    writes = torch.nn.Parameter(torch.zeros(units, 2))
    optimizer = torch.optim.Adam([reads, writes], lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    with torch.enable_grad():
        for _ in range(_STEPS):
            sequence, position = torch.randint(seen, (_BATCH,)), torch.randint(1, length - 1, (_BATCH,))
            error = gelu(normed[sequence, position] @ reads.T) @ writes - target[position]
            optimizer.zero_grad()
            error.pow(2).mean().backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        first.mlp.Wi.weight[weak] = reads
        first.mlp.Wo.weight[:, weak] = _least_read(ume.model) @ (2 * size * writes.T)
        ume.model.config.counts_codons = True
        error = gelu(normed[seen:, 1:-1] @ reads.T) @ writes - target[1:-1]
        return float(error.pow(2).mean() / 0.5)


@torch.no_grad()
def _random_genes(ume: Ume) -> tuple[Tensor, float]:
    """Return what the first feed-forward layer reads of random bases, and the root mean square of what it adds to."""
    tokenizer = ume.get_tokenizer(Modality.NUCLEOTIDE)
    letters = torch.tensor(tokenizer("acgt", add_special_tokens=False).input_ids)
    ids = letters[torch.randint(4, (_SEQUENCES, ume.max_length))]
    ids[torch.rand(ids.shape) < 0.25] = tokenizer.mask_token_id
    ids[:, 0], ids[:, -1] = tokenizer.cls_token_id, tokenizer.eos_token_id
    first: Any = ume.model.layers[0]
    embedded = [ume.model.embeddings(rows, None) for rows in ids.split(4)]
    x = torch.cat([rows + first.attn(first.attn_norm(rows), None) for rows in embedded])
    return first.mlp_norm(x), float(x.pow(2).mean().sqrt())


def _least_read(model: UmeForMaskedLM) -> Tensor:
    """Return the two directions of the residual stream, (d, 2), that the layers after the first one read least."""
    layers: Any = model.layers
    readers = [model.head.dense.weight]
    for layer in layers[1:]:
        readers += [layer.attn.Wqkv.weight * layer.attn_norm.weight, layer.mlp.Wi.weight * layer.mlp_norm.weight]
    return torch.linalg.svd(torch.cat(readers), full_matrices=False).Vh[-2:].T
