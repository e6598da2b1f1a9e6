"""The network of a UME: a pre-norm transformer encoder without biases, and a masked-language-model head."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, scaled_dot_product_attention, silu
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel
from transformers.modeling_outputs import MaskedLMOutput

from lobster.model.configuration import UmeConfig

Shapes = list[tuple[int, int]]  # of packed sequences, run by run: how many follow each other that have so many tokens


def sinusoids(length: int, width: int, device: torch.device | None = None) -> Tensor:
    """Return the position vectors [sin(n·ω), cos(n·ω)], concatenated, with ω_k = 10000^(−k/(width/2 − 1)).

    Returns:
        float32 tensor, (length, width).

    >>> sinusoids(2, 4)[0].tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    half = width // 2
    omega = 10000.0 ** (-torch.arange(half, device=device, dtype=torch.float32) / max(half - 1, 1))
    angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * omega
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class UmeNorm(nn.RMSNorm):
    """PyTorch's RMSNorm, which reads and writes its input six times on a CPU; twice where no gradient is asked for."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or torch.is_grad_enabled():
            return super().forward(x)
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return (x * torch.rsqrt(norm * norm / x.shape[-1] + self.eps)).mul_(self.weight)


class UmeEmbeddings(nn.Module):
    """Token embedding, RMSNorm, plus sinusoids that start at 0 with each sequence's first real token."""

    def __init__(self, config: UmeConfig):
        super().__init__()
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.norm = UmeNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        x = self.norm(self.tok_embeddings(input_ids))
        positions = sinusoids(input_ids.shape[1], x.shape[-1], x.device).to(x.dtype)
        if attention_mask is None:
            return x + positions
        return x + positions[(attention_mask.long().cumsum(1) - 1).clamp(min=0)]


class UmeAttention(nn.Module):
    """Full bidirectional attention over the real tokens, with one fused projection for q, k and v.

    A mask is True at the tokens of a padded batch that are seen; of packed sequences, (tokens, d), it is their `Shapes`.
    """

    def __init__(self, config: UmeConfig):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.Wqkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.Wo = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor, mask: Tensor | Shapes | None, at: Tensor | None = None) -> Tensor:
        y = self._attend(self.Wqkv(x), mask)
        return self.Wo(y if at is None else y[at])

    def _attend(self, qkv: Tensor, mask: Tensor | Shapes | None) -> Tensor:
        if isinstance(mask, list):
            runs = zip(qkv.split([rows * length for rows, length in mask]), mask, strict=True)
            return torch.cat([self._attend(run.view(*shape, -1), None).flatten(0, 1) for run, shape in runs])
        batch, length, _ = qkv.shape
        q, k, v = qkv.view(batch, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        y = scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (batch, heads, length, head width)
        return y.transpose(1, 2).reshape(batch, length, -1)


class UmeMLP(nn.Module):
    """Feed-forward layer with exact GELU."""

    def __init__(self, config: UmeConfig):
        super().__init__()
        self.Wi = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.Wo = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.Wo(gelu(self.Wi(x)))


class UmeLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); of all tokens, or of those ``at`` which the states are asked for."""

    def __init__(self, config: UmeConfig):
        super().__init__()
        self.attn_norm = UmeNorm(config.hidden_size, eps=config.norm_eps)
        self.attn = UmeAttention(config)
        self.mlp_norm = UmeNorm(config.hidden_size, eps=config.norm_eps)
        self.mlp = UmeMLP(config)

    def forward(self, x: Tensor, mask: Tensor | Shapes | None, at: Tensor | None = None) -> Tensor:
        x = (x if at is None else x[at]) + self.attn(self.attn_norm(x), mask, at)
        return x + self.mlp(self.mlp_norm(x))


class UmeHead(nn.Module):
    """What stands before the output projection: Linear, SiLU, RMSNorm."""

    def __init__(self, config: UmeConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.norm = UmeNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(silu(self.dense(x)))


class UmeForMaskedLM(PreTrainedModel):
    """A UME with its masked-language-model head, as a Hugging Face model.

    >>> model = UmeForMaskedLM(UmeConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1))
    >>> model(input_ids=torch.tensor([[2, 52, 4]])).logits.shape
    torch.Size([1, 3, 1280])
    """

    config_class = UmeConfig
    base_model_prefix = "ume"
    _supports_sdpa = True
    _no_split_modules: ClassVar[list[str]] = ["UmeLayer"]  # type: ignore[misc]

    def __init__(self, config: UmeConfig):
        super().__init__(config)
        self.embeddings = UmeEmbeddings(config)
        self.layers = nn.ModuleList(UmeLayer(config) for _ in range(config.num_hidden_layers))
        self.head = UmeHead(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.tok_embeddings

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None, at: Tensor | None = None) -> Tensor:
        """Return the hidden states, (batch, length, d), of token ids, (batch, length).

        Args:
            input_ids: Token ids, (batch, length).
            attention_mask: 1 at real tokens and 0 at padding; leave it out where nothing is padded.
            at: True at the tokens whose states are asked for, (batch, length): they are returned in order, (tokens, d), and the
                last layer leaves out all that the others alone would need.
        """
        mask = None if attention_mask is None else attention_mask.bool()[:, None, None, :]
        return self._through_layers(self.embeddings(input_ids, attention_mask), mask, at)

    def encode_packed(self, runs: Sequence[Tensor], at: Tensor | None = None) -> Tensor:
        """Return the hidden states, (tokens, d), of sequences one after the other, without padding between them.

        Args:
            runs: Token ids of sequences of one length each, (sequences, length).
            at: Of all tokens in order, the numbers of those whose states are asked for; as in `encode`.
        """
        x = torch.cat([self.embeddings(ids, None).flatten(0, 1) for ids in runs])
        return self._through_layers(x, [(len(ids), ids.shape[1]) for ids in runs], at)

    def _through_layers(self, x: Tensor, mask: Tensor | Shapes | None, at: Tensor | None) -> Tensor:
        for number, layer in enumerate(self.layers, 1):
            x = layer(x, mask, at if number == len(self.layers) else None)
        return x

    def predict(self, hidden: Tensor) -> Tensor:
        """Return the logits, (…, vocabulary), at hidden states, (…, d)."""
        return self.decoder(self.head(hidden))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs: object,
    ) -> MaskedLMOutput:
        """Return the logits; with labels, the loss and the logits where a label stands.

        Args:
            input_ids: Token ids, (batch, length).
            attention_mask: 1 at real tokens, 0 at padding, (batch, length).
            labels: The true ids at masked positions and −100 elsewhere, (batch, length).
            return_dict: Taken for Hugging Face's sake; the answer is always a `MaskedLMOutput`.

        Returns:
            ``logits`` of shape (batch, length, vocabulary). With labels: ``loss``, the mean cross-entropy in nats, and
            ``logits`` of shape (labelled positions, vocabulary), because the head is worked out nowhere else.
        """
        hidden = self.encode(input_ids, attention_mask)
        if labels is None:
            return MaskedLMOutput(logits=self.predict(hidden))
        labelled = labels != -100
        logits = self.predict(hidden[labelled])
        return MaskedLMOutput(loss=cross_entropy(logits.float(), labels[labelled]), logits=logits)


AutoConfig.register("ume", UmeConfig)
AutoModelForMaskedLM.register(UmeConfig, UmeForMaskedLM)
