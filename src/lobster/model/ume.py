"""`Ume`: an encoder with its tokenizers; the face of the library towards molecules."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from lobster.constants import Modality
from lobster.device import resolve_device, resolve_dtype
from lobster.model.checkpoints import find_model, load_folder, load_lightning, load_tokenizers
from lobster.model.network import UmeForMaskedLM
from lobster.model.pseudo_likelihood import Method, mean_log_probabilities


class Ume:
    """A Universal Molecular Encoder: one masked language model over SMILES, proteins and nucleotides.

    Attributes:
        model: The network, a `UmeForMaskedLM`.
        tokenizers: The tokenizer of each `Modality`.

    >>> ume = Ume.from_pretrained("ume-mini-base-12M", device="cpu")
    >>> ume.embed_sequences(["CCO", "c1ccccc1"], "SMILES").shape
    torch.Size([2, 384])
    >>> aspirin, garbled = ume.compute_pseudo_likelihood(
    ...     ["CC(=O)Oc1ccccc1C(=O)O", "CO(=O)Cc1ccccc1C(=O)F"], Modality.SMILES
    ... )
    >>> aspirin > garbled
    True
    """

    def __init__(self, model: UmeForMaskedLM, tokenizers: dict[Modality, PreTrainedTokenizerFast]):
        self.model = model.eval()
        self.tokenizers = tokenizers

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        device: str | torch.device | None = None,
        *,
        tokenizers: str | Path | None = None,
        dtype: torch.dtype | None = None,
        num_attention_heads: int | None = None,
    ) -> Self:
        """Load a UME.

        Args:
            name_or_path: A name that ships (`ume-mini-base-12M`), a folder that `save_pretrained` wrote, a Hub id, or
                a Lightning `.ckpt`.
            device: Where to put it; CUDA if there is one by default. Without CUDA, `"cuda"` warns once and means the CPU.
            tokenizers: Folder with `smiles/`, `amino_acid/` and `nucleotide/`, a `tokenizer.json` in each. Needed for a
                `.ckpt` only; elsewhere they lie in the model's own `tokenizers/`.
            dtype: Precision of the weights; float32 by default, and on a CPU always.
            num_attention_heads: For a `.ckpt` of a width that is none of the standard ones.

        Raises:
            FileNotFoundError: Nothing goes by that name, or the tokenizers are not where they should be.
            CheckpointError: The checkpoint is damaged, is no UME, or holds more than data.
        """
        device = resolve_device(device)
        dtype = resolve_dtype(device, dtype)
        path = find_model(name_or_path)
        if path.is_dir():
            model = load_folder(path, dtype)
        else:
            if tokenizers is None:
                raise FileNotFoundError(
                    f"{path} is a checkpoint without tokenizers: pass tokenizers='folder', the folder holding smiles/, "
                    "amino_acid/ and nucleotide/ with a tokenizer.json each"
                )
            model = load_lightning(path, dtype, num_attention_heads)
        found = load_tokenizers(Path(tokenizers) if tokenizers else path / "tokenizers")
        return cls(model, found).to(device)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the configuration, the weights (safetensors) and the tokenizers, for `from_pretrained` to read."""
        self.model.save_pretrained(folder)
        for modality, tokenizer in self.tokenizers.items():
            target = Path(folder) / "tokenizers" / modality.value.lower()
            target.mkdir(parents=True, exist_ok=True)
            tokenizer.backend_tokenizer.no_padding()
            tokenizer.backend_tokenizer.no_truncation()
            tokenizer.backend_tokenizer.save(str(target / "tokenizer.json"))

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.model.device

    @property
    def max_length(self) -> int:
        """Longest input in tokens, `<cls>` and `<eos>` included."""
        return self.model.config.max_position_embeddings

    @property
    def modalities(self) -> list[Modality]:
        """The modalities that it reads."""
        return list(self.tokenizers)

    def get_tokenizer(self, modality: Modality | str) -> PreTrainedTokenizerFast:
        """Return the tokenizer of a modality."""
        return self.tokenizers[Modality(modality)]

    def to(self, device: str | torch.device) -> Self:
        """Move the network to a device."""
        nn.Module.to(self.model, resolve_device(device))
        return self

    def freeze(self) -> Self:
        """Make the network constant: no gradients, evaluation mode."""
        self.model.requires_grad_(False).eval()
        return self

    def unfreeze(self) -> Self:
        """Make the network trainable: gradients, training mode."""
        self.model.requires_grad_(True).train()
        return self

    def tokenize(self, sequences: Sequence[str], modality: Modality | str) -> list[list[int]]:
        """Return the token ids of each sequence, `<cls_modality> … <eos>`.

        Raises:
            TypeError: ``sequences`` is one string; it must be a list of them.
        """
        if isinstance(sequences, str):
            raise TypeError(f"expected a list of sequences, got one string: pass [{sequences[:20]!r}]")
        if not sequences:
            return []
        tokenizer = self.get_tokenizer(modality)
        # Everything is said: a tokenizer keeps what an earlier call asked of it, and forgets some of it when copied.
        # Not to a slow one, whose letters may be special tokens (ESM's).
        spelled = {"split_special_tokens": True} if tokenizer.is_fast else {}
        encoded = tokenizer(list(sequences), padding=False, truncation=False, verbose=False, **spelled)
        return encoded["input_ids"]

    def embed_sequences(
        self, sequences: Sequence[str], modality: Modality | str, aggregate: bool = True, batch_size: int = 8
    ) -> Tensor | list[Tensor]:
        """Return the last hidden states of sequences.

        Args:
            sequences: Sequences of one modality.
            modality: Their modality.
            aggregate: Whether to average over a sequence's own tokens (special tokens are left out).
            batch_size: Sequences in a forward pass.

        Returns:
            (sequences, d) if ``aggregate``, else a list of tensors (tokens, d), special tokens included. Gradients flow
            unless the network is frozen.

        Raises:
            ValueError: A sequence is empty or longer than `max_length`.
        """
        ids = self._checked_ids(sequences, modality)
        states: list[Tensor] = []
        for start in range(0, len(ids), batch_size):
            batch = [torch.tensor(row) for row in ids[start : start + batch_size]]
            padded = torch.nn.utils.rnn.pad_sequence(batch, True, self.get_tokenizer(modality).pad_token_id)
            mask = torch.arange(padded.shape[1]) < torch.tensor([[len(row)] for row in batch])
            hidden = self.model.encode(padded.to(self.device), mask.to(self.device))
            states += [row[: len(own)] for row, own in zip(hidden, batch, strict=True)]
        if not aggregate:
            return states
        width = self.model.config.hidden_size
        return torch.stack([s[1:-1].mean(0) for s in states]) if states else torch.zeros(0, width)

    def compute_pseudo_likelihood(
        self, sequences: Sequence[str], modality: Modality | str, batch_size: int = 8, method: Method = "strided"
    ) -> list[float]:
        """Return the masked pseudo-likelihood of each sequence: the geometric mean probability of a token, in (0, 1].

        The sequences are scored as they are spelled (the reward scores a SMILES in its canonical form).

        Args:
            sequences: Sequences of one modality.
            modality: Their modality.
            batch_size: Memory to use, in sequences of `max_length`: a forward pass holds as many masked copies as that
                is tokens. The scores do not depend on it.
            method: ``"strided"`` masks every K-th token a pass, K = 1 / mask rate; ``"exact"`` one token a pass.

        Returns:
            As many floats as sequences.

        Raises:
            ValueError: A sequence is empty or longer than `max_length`, or the batch size is not positive.

        Source: Salazar et al., "Masked Language Model Scoring", ACL 2020.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: expected at least 1")
        ids = self._checked_ids(sequences, modality)
        tokenizer = self.get_tokenizer(modality)
        unique = list(dict.fromkeys(map(tuple, ids)))
        training = self.model.training
        self.model.eval()
        try:
            scores = mean_log_probabilities(
                self.model,
                unique,
                tokenizer.mask_token_id,
                tokenizer.pad_token_id,
                batch_size * self.max_length,
                method,
            )
        finally:
            self.model.train(training)
        score_of = dict(zip(unique, scores, strict=True))
        tiny = float(np.finfo(np.float64).tiny)
        return [max(math.exp(score_of[tuple(row)]), tiny) for row in ids]

    def _checked_ids(self, sequences: Sequence[str], modality: Modality | str) -> list[list[int]]:
        ids = self.tokenize(sequences, modality)
        for i, row in enumerate(ids):
            if not 2 < len(row) <= self.max_length:
                raise ValueError(
                    f"sequence {i} has {len(row) - 2} tokens of its own: expected 1 to {self.max_length - 2} "
                    f"(max_length {self.max_length} less the two special tokens)"
                )
        return ids
