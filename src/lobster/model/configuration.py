"""The shape of a UME."""

from typing import Any

from transformers import PreTrainedConfig


class UmeConfig(PreTrainedConfig):
    """Configuration of a UME network; the defaults are those of `ume-mini-base-12M`.

    Args:
        vocab_size: Number of token ids.
        hidden_size: Width of the residual stream, d.
        intermediate_size: Inner width of the feed-forward layers.
        num_hidden_layers: Number of layers.
        num_attention_heads: Number of heads; divides ``hidden_size``.
        max_position_embeddings: Longest input in tokens, ``<cls>`` and ``<eos>`` included.
        mask_rate: Share of a sequence's tokens that pretraining masks. Scoring masks as many in each of its passes.
        counts_codons: Whether the first layer was made to write the position within a codon; training leaves it as it is.
        norm_eps: Epsilon of every RMSNorm.
        pad_token_id: Id of ``<pad>``.

    Raises:
        ValueError: ``hidden_size`` is odd or not a multiple of ``num_attention_heads``, or ``mask_rate`` not in (0, 1].

    >>> UmeConfig().hidden_size
    384
    """

    model_type = "ume"

    # Annotated, because transformers makes every configuration a dataclass.
    vocab_size: int = 1280
    hidden_size: int = 384
    intermediate_size: int = 1536
    num_hidden_layers: int = 6
    num_attention_heads: int = 6
    max_position_embeddings: int = 1024
    mask_rate: float = 0.25
    counts_codons: bool = False
    norm_eps: float = 1e-5
    pad_token_id: int | None = 6
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.hidden_size % 2 or self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be even and a multiple of num_attention_heads "
                f"{self.num_attention_heads}"
            )
        if not 0 < self.mask_rate <= 1:
            raise ValueError(f"mask_rate is {self.mask_rate}: expected a share of the tokens, such as 0.25")


# The sizes that have names.
SIZES: dict[str, dict[str, Any]] = {
    "nano": {"num_hidden_layers": 6, "num_attention_heads": 6, "hidden_size": 192, "intermediate_size": 768},
    "mini": {"num_hidden_layers": 6, "num_attention_heads": 6, "hidden_size": 384, "intermediate_size": 1536},
    "small": {"num_hidden_layers": 12, "num_attention_heads": 12, "hidden_size": 768, "intermediate_size": 3072},
    "medium": {"num_hidden_layers": 24, "num_attention_heads": 20, "hidden_size": 1280, "intermediate_size": 5120},
    "large": {"num_hidden_layers": 24, "num_attention_heads": 24, "hidden_size": 1728, "intermediate_size": 6912},
}
