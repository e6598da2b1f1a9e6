"""`Ume`: an encoder with its tokenizers; the face of the library towards molecules."""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from lobster.constants import Modality
from lobster.device import resolve_device, resolve_dtype
from lobster.model.checkpoints import find_model, load_folder, load_lightning, load_tokenizers
from lobster.model.encoder import Encoder, Errors
from lobster.model.network import UmeForMaskedLM


class Ume(Encoder):
    """A Universal Molecular Encoder: one masked language model over SMILES, proteins and nucleotides.

    Attributes:
        model: The network, a `UmeForMaskedLM`.
        tokenizers: The tokenizer of each `Modality`.
        folder: Where it, or its `.ckpt`, was loaded from; None where it was not.

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
        ume = cls(model, found).to(device)
        ume.folder = path if path.is_dir() else path.parent
        return ume

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
    def max_length(self) -> int:
        """Longest input in tokens, `<cls>` and `<eos>` included."""
        return self.model.config.max_position_embeddings

    def tokenize(self, sequences: Sequence[str], modality: Modality | str) -> list[list[int]]:
        """Return the token ids of each sequence as it is spelled, `<cls_modality> … <eos>`; bases have no case.

        Raises:
            TypeError: ``sequences`` is one string; it must be a list of them.
        """
        if isinstance(sequences, str):
            raise TypeError(f"expected a list of sequences, got one string: pass [{sequences[:20]!r}]")
        sequences = list(sequences)
        if not sequences:
            return []
        if Modality(modality) is Modality.NUCLEOTIDE and self._upper_case_bases:
            sequences = [sequence.upper() for sequence in sequences]
        tokenizer = self.get_tokenizer(modality)
        # Everything is said: a tokenizer keeps what an earlier call asked of it, and forgets some of it when copied.
        encoded = tokenizer(sequences, padding=False, truncation=False, verbose=False, split_special_tokens=True)
        return encoded["input_ids"]

    def embed_sequences(
        self,
        sequences: Sequence[str],
        modality: Modality | str,
        aggregate: bool = True,
        batch_size: int = 8,
        errors: Errors = "raise",
    ) -> Tensor | list[Tensor]:
        """Return the last hidden states of sequences.

        Args:
            sequences: Sequences of one modality, read as `compute_pseudo_likelihood` reads them.
            modality: Their modality.
            aggregate: Whether to average over a sequence's own tokens (special tokens are left out).
            batch_size: Sequences in a forward pass.
            errors: ``"null"`` gives a sequence that cannot be embedded NaN for its average, or no tokens, and goes on.

        Returns:
            (sequences, d) if ``aggregate``, else a list of tensors (tokens, d), special tokens included. Gradients flow
            unless the network is frozen.

        Raises:
            ValueError: A sequence is empty, longer than `max_length`, or has what the vocabulary lacks.
        """
        rows = self.read(sequences, modality, errors, "refuse")
        ids = [row for row in rows if row]
        states: list[Tensor] = []
        for start in range(0, len(ids), batch_size):
            batch = [torch.tensor(row) for row in ids[start : start + batch_size]]
            padded = torch.nn.utils.rnn.pad_sequence(batch, True, self.get_tokenizer(modality).pad_token_id)
            mask = torch.arange(padded.shape[1]) < torch.tensor([[len(row)] for row in batch])
            hidden = self.model.encode(padded.to(self.device), mask.to(self.device))
            states += [row[: len(own)] for row, own in zip(hidden, batch, strict=True)]
        found = iter(states)
        nothing = torch.full((0, self.model.config.hidden_size), math.nan, device=self.device)
        states = [next(found) if row else nothing for row in rows]
        if not aggregate:
            return states
        return torch.stack([s[1:-1].mean(0) for s in states]) if states else nothing

    def _unknown(self, text: str, position: int, modality: Modality) -> str:
        tokenizer = self.get_tokenizer(modality)
        encoded = tokenizer(text, split_special_tokens=True, truncation=False, return_offsets_mapping=True)
        token = text[slice(*encoded["offset_mapping"][1 + position])]
        return f"token {token!r} at position {position + 1}"

    @cached_property
    def _upper_case_bases(self) -> bool:
        """Whether the vocabulary of nucleotides, a foreign encoder's, has them in upper case."""
        words = [
            word for word in self.get_tokenizer(Modality.NUCLEOTIDE).get_vocab() if not set(word.upper()) - set("ACGT")
        ]
        return bool(words) and all(map(str.isupper, words))
