"""`Ume`: an encoder with its tokenizers; the face of the library towards molecules."""

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from lobster.constants import Modality
from lobster.device import resolve_device, resolve_dtype
from lobster.model.checkpoints import find_model, load_folder, load_lightning, load_tokenizers
from lobster.model.explain import Explanation, explain_one
from lobster.model.network import UmeForMaskedLM
from lobster.model.pseudo_likelihood import Method, token_log_probabilities, windows
from lobster.sequences import read_letters

Errors = Literal["raise", "null"]
LongSequences = Literal["refuse", "windows"]


class Ume:
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
        self.folder: Path | None = None

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
        # Not to a slow one, whose letters may be special tokens (ESM's).
        spelled = {"split_special_tokens": True} if tokenizer.is_fast else {}
        encoded = tokenizer(sequences, padding=False, truncation=False, verbose=False, **spelled)
        return encoded["input_ids"]

    def unknown_token(self, ids: Sequence[int], modality: Modality | str) -> int | None:
        """Return the index of the first token that the vocabulary lacks, of a sequence's own; None where there is none."""
        unknown = self.get_tokenizer(modality).unk_token_id
        return next((position for position, token in enumerate(ids[1:-1]) if token == unknown), None)

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

    def compute_pseudo_likelihood(
        self,
        sequences: Sequence[str],
        modality: Modality | str,
        batch_size: int = 8,
        method: Method = "strided",
        errors: Errors = "raise",
        long_sequences: LongSequences = "refuse",
    ) -> list[float]:
        """Return the masked pseudo-likelihood of each sequence: the geometric mean probability of a token, in (0, 1].

        It is exp of the mean of `token_log_probabilities`, which has the arguments and the errors; NaN for what ``"null"``
        lets pass.

        Source: Salazar et al., "Masked Language Model Scoring", ACL 2020.
        """
        found = self.token_log_probabilities(sequences, modality, batch_size, method, errors, long_sequences)
        tiny = float(np.finfo(np.float64).tiny)
        return [max(math.exp(row.mean()), tiny) if len(row) else math.nan for row in found]

    def token_log_probabilities(
        self,
        sequences: Sequence[str],
        modality: Modality | str,
        batch_size: int = 8,
        method: Method = "strided",
        errors: Errors = "raise",
        long_sequences: LongSequences = "refuse",
    ) -> list[np.ndarray]:
        """Return log p(token | rest) of each of a sequence's own tokens, (tokens,), in nats: what pseudo-likelihoods are made of.

        Proteins and nucleotides are read as the reward reads them (`lobster.sequences.read_letters`): in either case, in
        lines, blocks or FASTA, a U as a T. A SMILES is scored as it is spelled, without blanks around it (the reward scores
        it in its canonical form).

        Args:
            sequences: Sequences of one modality.
            modality: Their modality.
            batch_size: Memory to use, in sequences of `max_length`: a forward pass holds as many masked copies as that
                is tokens. The scores do not depend on it.
            method: ``"strided"`` masks every K-th token a pass, K = 1 / mask rate; ``"exact"`` one token a pass.
            errors: ``"null"`` gives no tokens for a sequence that is empty, too long or cannot be read, and goes on with the
                others.
            long_sequences: ``"windows"`` scores proteins and nucleotides beyond `max_length` in windows that overlap by
                half, each token in the one that has most around it (`lobster.model.pseudo_likelihood.windows`), in
                twice the time a token. A part of a SMILES is no SMILES: it is refused.

        Raises:
            ValueError: A sequence is empty, longer than `max_length`, or has what the vocabulary lacks (the message says
                which one, what and where), or the batch size is not positive.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: expected at least 1")
        rows = [None if row is None else tuple(row) for row in self.read(sequences, modality, errors, long_sequences)]
        unit = 3 if Modality(modality) is Modality.NUCLEOTIDE else 1  # the encoder counts frames from the first base
        pieces = [
            (row, [row[0], *row[1 + window.start : 1 + window.stop], row[-1]], own, 1 + own.start - window.start)
            for row in dict.fromkeys(rows)
            if row
            for window, own in windows(len(row) - 2, self.max_length - 2, unit)
        ]
        tokenizer = self.get_tokenizer(modality)
        training = self.model.training
        self.model.eval()
        try:
            found = token_log_probabilities(
                self.model,
                [ids for _, ids, _, _ in pieces],
                tokenizer.mask_token_id,
                tokenizer.pad_token_id,
                batch_size * self.max_length,
                method,
                [range(first, first + len(own)) for _, _, own, first in pieces],
            )
        finally:
            self.model.train(training)
        parts: dict[tuple[int, ...], list[np.ndarray]] = defaultdict(list)
        for (row, _, _, _), part in zip(pieces, found, strict=True):
            parts[row].append(part)
        return [np.zeros(0) if row is None else np.concatenate(parts[row]) for row in rows]

    def explain(self, sequence: str, modality: Modality | str | None = None) -> Explanation:
        """Return what the encoder finds of each token of a sequence, which may be longer than `max_length`.

        Args:
            sequence: The sequence.
            modality: Its modality; by default the one that it looks like.

        Raises:
            ValueError: It cannot be read; the message says why.

        >>> toluene = Ume.from_pretrained("ume-nano-base-3M", device="cpu").explain("Cc1ccccc1")
        >>> toluene.tokens[:3], int(toluene.log_probabilities.argmin())  # the methyl group could be anything else
        (['C', 'c', '1'], 0)
        """
        return explain_one(self, sequence, modality)

    def tokens(self, sequences: Sequence[str], modality: Modality | str) -> list[list[str]]:
        """Return each sequence's own tokens, as the vocabulary spells them.

        >>> Ume.from_pretrained("ume-mini-base-12M", device="cpu").tokens(["CCl"], "SMILES")
        [['C', 'Cl']]
        """
        tokenizer = self.get_tokenizer(modality)
        return [list(tokenizer.convert_ids_to_tokens(ids[1:-1])) for ids in self.tokenize(sequences, modality)]

    def read(
        self,
        sequences: Sequence[str],
        modality: Modality | str,
        errors: Errors = "raise",
        long_sequences: LongSequences = "refuse",
    ) -> list[list[int] | None]:
        """Return the token ids of each sequence in the spelling that is scored (see `compute_pseudo_likelihood`).

        Args:
            sequences: Sequences of one modality.
            modality: Their modality.
            errors: ``"null"`` gives None for a sequence that is empty, too long or cannot be read.
            long_sequences: ``"windows"`` allows proteins and nucleotides beyond `max_length`.

        Raises:
            ValueError: A sequence is empty, too long, or has what the vocabulary lacks: the message says which, what,
                where.

        >>> ume = Ume.from_pretrained("ume-nano-base-3M", device="cpu")
        >>> ume.read(["AUG", "ATE"], "nucleotide", errors="null") == [*ume.tokenize(["atg"], "nucleotide"), None]
        True
        """
        for name, value, known in (("errors", errors, Errors), ("long_sequences", long_sequences, LongSequences)):
            if value not in get_args(known):
                raise ValueError(f"{name} is {value!r}: expected one of {', '.join(get_args(known))}")
        if isinstance(sequences, str):
            raise TypeError(f"expected a list of sequences, got one string: pass [{sequences[:20]!r}]")
        modality, texts, problems = Modality(modality), list[str](), dict[int, str]()
        for number, sequence in enumerate(sequences):
            try:
                texts.append(_spelling(sequence, modality))
            except ValueError as error:
                texts.append("")
                problems[number] = f": {error}"
        rows = self.tokenize(texts, modality)
        cut = long_sequences == "windows" and modality is not Modality.SMILES
        for number, row in enumerate(rows):
            if number not in problems and (problem := self._problem(texts[number], row, modality, cut)):
                problems[number] = problem
        if problems and errors == "raise":
            raise ValueError(f"sequence {min(problems)}{problems[min(problems)]}")
        return [None if number in problems else row for number, row in enumerate(rows)]

    def _problem(self, text: str, ids: list[int], modality: Modality, cut: bool) -> str | None:
        """Say why a sequence cannot be scored; ``cut`` says whether it may be longer than `max_length`."""
        if len(ids) < 3 or (len(ids) > self.max_length and not cut):
            most = self.max_length - 2
            more = "" if modality is Modality.SMILES else "; long_sequences='windows' scores longer ones"
            return (
                f" has {len(ids) - 2} tokens of its own: expected 1 to {most} "
                f"(max_length {self.max_length} less the two special tokens{more})"
            )
        if (position := self.unknown_token(ids, modality)) is None:
            return None
        tokenizer = self.get_tokenizer(modality)
        if tokenizer.is_fast:
            encoded = tokenizer(text, split_special_tokens=True, truncation=False, return_offsets_mapping=True)
            token = text[slice(*encoded["offset_mapping"][1 + position])]
        else:
            token = tokenizer.tokenize(text)[position]
        return (
            f": token {token!r} at position {position + 1} (counted from 1) is not in the encoder's vocabulary: "
            f"expected one of get_tokenizer({modality.value!r}).get_vocab()"
        )

    @cached_property
    def _upper_case_bases(self) -> bool:
        """Whether the vocabulary of nucleotides, a foreign encoder's, has them in upper case."""
        words = [
            word for word in self.get_tokenizer(Modality.NUCLEOTIDE).get_vocab() if not set(word.upper()) - set("ACGT")
        ]
        return bool(words) and all(map(str.isupper, words))


def _spelling(sequence: object, modality: Modality) -> str:
    """Return a sequence as it is scored.

    Raises:
        ValueError: It is no string, or has letters that its modality does not know.
    """
    if not isinstance(sequence, str):
        raise ValueError(f"expected a string, got {sequence!r:.40}")
    text = sequence.strip()
    return text if modality is Modality.SMILES or not text else read_letters(text, modality)
