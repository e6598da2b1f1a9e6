"""A wider network that starts where a narrower one ended."""

from typing import Any

import torch
from torch import Tensor

from lobster.model import UmeForMaskedLM


@torch.no_grad()
def widen(small: UmeForMaskedLM, wide: UmeForMaskedLM) -> None:
    """Give a new network the function of a trained one of half its width; what is new in it can learn at once.

    A small network learns more in the same hours, a wide one can learn more in the end. The idea is that of Chen et al.,
    "Net2Net", ICLR 2016; here every feature of the residual stream stands twice, so that the root mean squares of the norms stay,
    and the layers read the first of the two. New heads' parts and inner features start at random and are not yet
    read. The position vectors of two widths differ: a feature takes the place of the frequency nearest to its own, and
    the function is kept but for that.

    Args:
        small: The trained network.
        wide: A new one of the same vocabulary, layers and heads and twice the widths; it is overwritten.

    Raises:
        ValueError: The shapes do not fit.
    """
    narrow, broad = small.config, wide.config
    doubled = {
        "hidden_size": 2,
        "intermediate_size": 2,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "vocab_size": 1,
    }
    for name, factor in doubled.items():
        if getattr(broad, name) != factor * getattr(narrow, name):
            raise ValueError(
                f"{name} is {getattr(narrow, name)} in the small network and {getattr(broad, name)} in the wide one: "
                f"expected {factor} times as much"
            )
    first, copy = _places(narrow.hidden_size)
    heads, head = narrow.num_attention_heads, narrow.hidden_size // narrow.num_attention_heads

    def both(target: Tensor, source: Tensor) -> None:
        """Write features, the last dimension of ``source``, to their two places."""
        target[..., first] = source
        target[..., copy] = source

    def reads(target: Tensor, source: Tensor) -> None:
        """Read features at the first of their places alone."""
        target.zero_()
        target[..., first] = source

    both(wide.embeddings.tok_embeddings.weight, small.embeddings.tok_embeddings.weight)
    both(wide.embeddings.norm.weight, small.embeddings.norm.weight)
    pairs: Any = zip(small.layers, wide.layers, strict=True)
    for old, new in pairs:
        for norm in ("attn_norm", "mlp_norm"):
            both(getattr(new, norm).weight, getattr(old, norm).weight)
        # Each head keeps its queries, keys and values in its first half. The scores are divided by the root of the width.
        before = old.attn.Wqkv.weight.view(3, heads, head, -1).clone()
        before[:2] *= 2**0.25
        after = new.attn.Wqkv.weight.view(3, heads, 2 * head, -1)
        after[0, :, head:] = 0
        reads(after[:, :, :head], before)
        output = torch.zeros_like(new.attn.Wo.weight).view(-1, heads, 2 * head)
        both(output.permute(1, 2, 0)[:, :head], old.attn.Wo.weight.view(-1, heads, head).permute(1, 2, 0))
        new.attn.Wo.weight.copy_(output.flatten(1))
        inner = narrow.intermediate_size
        reads(new.mlp.Wi.weight[:inner], old.mlp.Wi.weight)
        new.mlp.Wo.weight.zero_()
        both(new.mlp.Wo.weight.T[:inner], old.mlp.Wo.weight.T)
    dense = torch.empty(broad.hidden_size, narrow.hidden_size)
    both(dense.T, small.head.dense.weight.T)
    reads(wide.head.dense.weight, dense)
    both(wide.head.norm.weight, small.head.norm.weight)
    reads(wide.decoder.weight, small.decoder.weight)
    wide.decoder.bias.copy_(small.decoder.bias)


def _places(width: int) -> tuple[Tensor, Tensor]:
    """Return the two places of each feature in a network of twice the width; the first has the nearest frequency."""
    half = width // 2
    near = (torch.arange(half) * (2 * half - 1) / max(half - 1, 1)).round().long()
    other = torch.tensor(sorted(set(range(2 * half)) - set(near.tolist())))
    return torch.cat([near, 2 * half + near]), torch.cat([other, 2 * half + other])
