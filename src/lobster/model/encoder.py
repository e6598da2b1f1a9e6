"""`Encoder`: what every masked language model of molecules can be asked for, above all pseudo-likelihoods."""

import math
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from torch import nn

from lobster.constants import LongSequences, Modality
from lobster.device import resolve_device
from lobster.model.explain import Explanation, explain_one
from lobster.model.pseudo_likelihood import Method, token_log_probabilities, windows
from lobster.sequences import read_letters

Errors = Literal["raise", "null"]

_TOKENISED = 1024  # sequences at a time: a tokenizer takes kilobytes for each
_AT_ONCE = 4096  # sequences whose passes are planned together

UNREAD = -1  # in place of the id of what a vocabulary lacks, where it has no id for that


class Encoder(ABC):
    """A masked language model with its tokenizers.

    A kind of encoder says how it spells and limits sequences: `tokenize`, `max_length` and `save_pretrained`. All else, from
    reading sequences to their pseudo-likelihoods, is the same for every kind.

    Attributes:
        model: The network, called as ``model(input_ids=…, attention_mask=…).logits``.
        tokenizers: The tokenizer of each `Modality` that it reads.
        folder: Where it was loaded from; None where it was not.
        before, after: Number of special tokens before and after a sequence's own.
    """

    model: Any
    tokenizers: dict[Modality, Any]
    folder: Path | None = None
    before: int = 1
    after: int = 1

    @property
    @abstractmethod
    def max_length(self) -> int:
        """Longest input in tokens, special tokens included."""

    @abstractmethod
    def tokenize(self, sequences: Sequence[str], modality: Modality | str) -> list[list[int]]:
        """Return the token ids of each sequence, special tokens around them.

        What the vocabulary lacks has the id of its unknown token, or `UNREAD`.

        Raises:
            TypeError: ``sequences`` is one string; it must be a list of them.
        """

    @abstractmethod
    def save_pretrained(self, folder: str | Path) -> None:
        """Write configuration, weights (safetensors) and tokenizers, for `load_encoder` to read."""

    @abstractmethod
    def _unknown(self, text: str, position: int, modality: Modality) -> str:
        """Say what and where the own token of that index, which the vocabulary lacks, is in a text."""

    @property
    def max_letters(self) -> int:
        """Most letters that an input can have: as many as tokens, save where tokens are longer."""
        return self.max_length

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.model.device

    @property
    def modalities(self) -> list[Modality]:
        """The modalities that it reads."""
        return list(self.tokenizers)

    def get_tokenizer(self, modality: Modality | str) -> Any:
        """Return the tokenizer of a modality.

        Raises:
            ValueError: The encoder does not read that modality.
        """
        modality = Modality(modality)
        if modality not in self.tokenizers:
            raise ValueError(f"the encoder reads {', '.join(self.tokenizers)} only, not {modality}")
        return self.tokenizers[modality]

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

    def own(self, ids: Sequence[int]) -> range:
        """Return the positions of a sequence's own tokens among its token ids: all but the special ones around them."""
        return range(self.before, len(ids) - self.after)

    def unknown_token(self, ids: Sequence[int], modality: Modality | str) -> int | None:
        """Return the index of the first token that the vocabulary lacks, of a sequence's own; None where there is none."""
        unknown = {UNREAD, self.get_tokenizer(modality).unk_token_id}
        return next((i for i, position in enumerate(self.own(ids)) if ids[position] in unknown), None)

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
        lets pass. All is read before anything is scored; memory does not grow with the number of sequences.

        Source: Salazar et al., "Masked Language Model Scoring", ACL 2020.
        """
        texts = _listed(sequences)
        read = partial(self._rows, texts, modality, errors, long_sequences)
        if errors == "raise" and len(texts) > _AT_ONCE:
            deque(read(), maxlen=0)
        rows, means = read(), list[float]()
        for _ in range(0, max(1, len(texts)), _AT_ONCE):
            found = self._log_probabilities(list(islice(rows, _AT_ONCE)), modality, batch_size, method)
            means += [float(row.mean()) if len(row) else math.nan for row in found]
        tiny = float(np.finfo(np.float64).tiny)
        return [mean if math.isnan(mean) else max(math.exp(mean), tiny) for mean in means]

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
        rows = self.read(sequences, modality, errors, long_sequences)
        return self._log_probabilities(rows, modality, batch_size, method)

    def _log_probabilities(
        self, read: Sequence[Sequence[int] | None], modality: Modality | str, batch_size: int, method: Method
    ) -> list[np.ndarray]:
        """Return log p(token | rest) of each of a sequence's own tokens, of what was read; none where that is None."""
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: expected at least 1")
        rows = [None if row is None else tuple(row) for row in read]
        unit = 3 if Modality(modality) is Modality.NUCLEOTIDE else 1  # the encoder counts frames from the first base
        pieces = [
            (row, self._part(row, window), own, self.before + own.start - window.start)
            for row in dict.fromkeys(rows)
            if row
            for window, own in windows(len(self.own(row)), self.max_length - self.before - self.after, unit)
        ]
        tokenizer = self.get_tokenizer(modality)
        training = self.model.training
        self.model.eval()
        try:
            found = token_log_probabilities(
                self.model,
                [ids for _, ids, _, _ in pieces],
                tokenizer.mask_token_id,
                tokenizer.pad_token_id or 0,  # of what is not attended to
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

        >>> from lobster.model import load_encoder
        >>> toluene = load_encoder("ume-nano-base-3M", device="cpu").explain("Cc1ccccc1")
        >>> toluene.tokens[:3], int(toluene.log_probabilities.argmin())  # the methyl group could be anything else
        (['C', 'c', '1'], 0)
        """
        return explain_one(self, sequence, modality)

    def tokens(self, sequences: Sequence[str], modality: Modality | str) -> list[list[str]]:
        """Return each sequence's own tokens, as the vocabulary spells them.

        >>> from lobster.model import load_encoder
        >>> load_encoder("ume-mini-base-12M", device="cpu").tokens(["CCl"], "SMILES")
        [['C', 'Cl']]
        """
        tokenizer = self.get_tokenizer(modality)
        rows = self.tokenize(sequences, modality)
        return [list(tokenizer.convert_ids_to_tokens([ids[i] for i in self.own(ids)])) for ids in rows]

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

        >>> from lobster.model import load_encoder
        >>> ume = load_encoder("ume-nano-base-3M", device="cpu")
        >>> ume.read(["AUG", "ATE"], "nucleotide", errors="null") == [*ume.tokenize(["atg"], "nucleotide"), None]
        True
        """
        return list(self._rows(_listed(sequences), modality, errors, long_sequences))

    def _rows(
        self, sequences: Sequence[str], modality: Modality | str, errors: Errors, long_sequences: LongSequences
    ) -> Iterator[list[int] | None]:
        """Yield what `read` returns; so many are tokenised at a time."""
        for name, value, known in (("errors", errors, Errors), ("long_sequences", long_sequences, LongSequences)):
            if value not in get_args(known):
                raise ValueError(f"{name} is {value!r}: expected one of {', '.join(get_args(known))}")
        modality = Modality(modality)
        cut = long_sequences == "windows" and modality is not Modality.SMILES
        for start in range(0, len(sequences), _TOKENISED):
            texts, problems = list[str](), dict[int, str]()
            for number, sequence in enumerate(sequences[start : start + _TOKENISED]):
                try:
                    texts.append(_spelling(sequence, modality))
                except ValueError as error:
                    texts.append("")
                    problems[number] = f": {error}"
            rows = self.tokenize(texts, modality)
            for number, row in enumerate(rows):
                if number not in problems and (problem := self._problem(texts[number], row, modality, cut)):
                    problems[number] = problem
            if problems and errors == "raise":
                raise ValueError(f"sequence {start + min(problems)}{problems[min(problems)]}")
            yield from (None if number in problems else row for number, row in enumerate(rows))

    def _part(self, row: Sequence[int], window: range) -> list[int]:
        """Return a window of a sequence's own tokens, with the special tokens around it."""
        own = row[self.before : len(row) - self.after]
        return [*row[: self.before], *own[window.start : window.stop], *row[len(row) - self.after :]]

    def _problem(self, text: str, ids: list[int], modality: Modality, cut: bool) -> str | None:
        """Say why a sequence cannot be scored; ``cut`` says whether it may be longer than `max_length`."""
        own = len(self.own(ids))
        if own < 1 or (len(ids) > self.max_length and not cut):
            special = self.before + self.after
            more = "" if modality is Modality.SMILES else "; long_sequences='windows' scores longer ones"
            return (
                f" has {own} tokens of its own: expected 1 to {self.max_length - special} "
                f"(max_length {self.max_length} less the {special} special tokens{more})"
            )
        if (position := self.unknown_token(ids, modality)) is None:
            return None
        return (
            f": {self._unknown(text, position, modality)} (counted from 1) is not in the encoder's vocabulary: "
            f"expected one of get_tokenizer({modality.value!r}).get_vocab()"
        )


def _listed(sequences: Sequence[str]) -> list[str]:
    """Return sequences as a list.

    Raises:
        TypeError: It is one string.
    """
    if isinstance(sequences, str):
        raise TypeError(f"expected a list of sequences, got one string: pass [{sequences[:20]!r}]")
    return list(sequences)


def _spelling(sequence: object, modality: Modality) -> str:
    """Return a sequence as it is scored.

    Raises:
        ValueError: It is no string, or has letters that its modality does not know.
    """
    if not isinstance(sequence, str):
        raise ValueError(f"expected a string, got {sequence!r:.40}")
    text = sequence.strip()
    return text if modality is Modality.SMILES or not text else read_letters(text, modality)
