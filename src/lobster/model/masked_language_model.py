"""`MaskedLanguageModel`: any masked language model of the Hugging Face library as an encoder; how it spells is found out."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lobster.constants import Modality
from lobster.model.encoder import UNREAD, Encoder
from lobster.model.pseudo_likelihood import mask_rate, token_log_probabilities
from lobster.tokenization.vocabulary import SMILES_PATTERN

MODALITY_KEY = "lobster_modality"  # under which `save_pretrained` writes into config.json what the encoder reads

# What an encoder of a modality has to be able to read: acetanilide, hen egg-white lysozyme (it has all twenty residues), the
# gene of human insulin; and symbols that it must not take for one another.
_PROBES = {
    Modality.SMILES: "CC(=O)Nc1ccccc1",
    Modality.AMINO_ACID: "KVFGRCELAAAMKRHGLDNYRGYSLGNWVCAAKFESNFNTQATNRNTDGSTDYGILQINSRWWCNDGRTPG",
    Modality.NUCLEOTIDE: "atggccctgtggatgcgcctcctgcccctgctg",
}
_DIFFERENT = {
    Modality.SMILES: "Cc",
    Modality.AMINO_ACID: "ACDEFGHIKLMNPQRSTVWY",
    Modality.NUCLEOTIDE: "acgt",
}
_RUN = 12  # of each of those: a vocabulary of 6-mers reads no less

_REMEDY = "pass tokenizer= where another one is the network's"

Piece = tuple[int, int, int]  # a token's id, and where it starts and stops in the text


@dataclass(frozen=True)
class Spelling:
    """How a vocabulary wants sequences.

    >>> Spelling(upper=True, thymine="U", separator=" ")("atgc")
    'A U G C'
    """

    upper: bool | None = None
    thymine: Literal["T", "U"] | None = None
    separator: str = ""

    def __call__(self, sequence: str) -> str:
        """Return a sequence so; None leaves the case, which is chemistry in a SMILES, and the letters as they are."""
        if self.thymine:
            sequence = sequence.upper().replace("U" if self.thymine == "T" else "T", self.thymine)
        if self.upper is not None:
            sequence = sequence.upper() if self.upper else sequence.lower()
        return self.separator.join(re.findall(SMILES_PATTERN, sequence)) if self.separator else sequence

    def position(self, text: str, index: int) -> int:
        """Return which letter of a sequence, counted from 1, stands at an index of its spelling ``text``."""
        return 1 + index - (text[:index].count(self.separator) if self.separator else 0)


_SPELLINGS = {
    Modality.SMILES: [Spelling(separator=s) for s in ("", " ")],
    Modality.AMINO_ACID: [Spelling(u, separator=s) for s in ("", " ") for u in (True, False)],
    Modality.NUCLEOTIDE: [Spelling(u, t, s) for s in ("", " ") for t in ("T", "U") for u in (True, False)],
}


class MaskedLanguageModel(Encoder):
    """A masked language model of the Hugging Face library, ESM-2 or ChemBERTa say, with its tokenizer, as an encoder.

    How it has to be used is found out by trying, and kept: letters' case, U or T, whether blanks separate letters, the special
    tokens around a sequence, where its positions start and so its `max_length`. Where a vocabulary knows several spellings, the
    one is taken in which the network finds a real sequence likeliest. What the vocabulary lacks is an error, whatever
    the tokenizer makes of it: an unknown token, or nothing at all.

    Args:
        model: The network.
        tokenizer: Its tokenizer, fast or slow.
        modality: What it reads; by default what its vocabulary says, where that is one.

    Attributes:
        spellings: How the sequences of each modality are spelled for it.
        mask_rate: Share of tokens that pretraining masked; scoring masks as many in a pass.

    Raises:
        ValueError: The network is no masked language model, the tokenizer is not its own, or the vocabulary cannot write
            the modality, or several and none was said.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, modality: Modality | str | None = None
    ):
        self.model: Any = model.eval()
        self.tokenizer: Any = tokenizer
        _check_network(self.model, tokenizer)
        self.mask_rate = mask_rate(model.config)
        self._unreadable = {tokenizer.unk_token_id, *tokenizer.all_special_ids}
        wanted = None if modality is None else Modality(modality)
        readable = {m: self._readable(m) for m in ([wanted] if wanted else list(Modality))}
        one = wanted or self._only({m for m, spellings in readable.items() if spellings}, readable)
        if not readable[one]:
            raise ValueError(f"{self._lacks(one)}; {_REMEDY}")
        first = readable[one][0](_PROBES[one])
        self._prefix, self._suffix = self._surroundings(first)
        self.before, self.after = len(self._prefix), len(self._suffix)
        self._max_length = self._limit([token for token, _, _ in self._pieces([first])[0]][:8])
        self.spellings = {one: self._likeliest(one, readable[one])}
        self.tokenizers = dict.fromkeys(self.spellings, tokenizer)

    @property
    def max_length(self) -> int:
        return self._max_length

    @cached_property
    def max_letters(self) -> int:
        return self.max_length * max(map(len, self.tokenizer.get_vocab()))

    def save_pretrained(self, folder: str | Path) -> None:
        setattr(self.model.config, MODALITY_KEY, next(iter(self.spellings)).value)
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def tokenize(self, sequences: Sequence[str], modality: Modality | str) -> list[list[int]]:
        if isinstance(sequences, str):
            raise TypeError(f"expected a list of sequences, got one string: pass [{sequences[:20]!r}]")
        texts = [self._spelling(modality)(sequence) for sequence in sequences]
        read = (self._read(text, self._spelling(modality), pieces) for text, pieces in self._with_pieces(texts))
        return [[*self._prefix, *(token for token, _, _ in own), *self._suffix] for own in read]

    def tokens(self, sequences: Sequence[str], modality: Modality | str) -> list[list[str]]:
        """Return the letters of each of a sequence's own tokens, as they are spelled for the encoder."""
        texts = [self._spelling(modality)(sequence) for sequence in sequences]
        read = ((text, self._read(text, self._spelling(modality), pieces)) for text, pieces in self._with_pieces(texts))
        return [[text[start:stop] for _, start, stop in own] for text, own in read]

    def _spelling(self, modality: Modality | str) -> Spelling:
        self.get_tokenizer(modality)  # which says so where there is none
        return self.spellings[Modality(modality)]

    def _unknown(self, text: str, position: int, modality: Modality) -> str:
        spelling = self._spelling(modality)
        spelled = spelling(text)
        _, start, stop = self._read(spelled, spelling, self._pieces([spelled])[0])[position]
        for part in re.finditer(SMILES_PATTERN, spelled[start:stop]):
            if any(token == UNREAD for token, _, _ in self._read(part[0], spelling, self._pieces([part[0]])[0])):
                return f"{part[0]!r} at position {spelling.position(spelled, start + part.start())}"
        return f"{spelled[start:stop]!r:.60} at position {spelling.position(spelled, start)}"

    def _with_pieces(self, texts: list[str]) -> Iterator[tuple[str, list[Piece]]]:
        return zip(texts, self._pieces(texts), strict=True)

    def _pieces(self, texts: list[str]) -> list[list[Piece]]:
        """Return the tokens that the tokenizer makes of each text, special tokens aside, and where they stand in it."""
        if not self.tokenizer.is_fast:
            return [self._slow_pieces(text) for text in texts]
        if not texts:
            return []
        encoded = self.tokenizer(
            texts,
            add_special_tokens=False,
            padding=False,
            truncation=False,
            verbose=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
        )
        pairs = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        return [[(token, *span) for token, span in zip(ids, spans, strict=True)] for ids, spans in pairs]

    def _slow_pieces(self, text: str) -> list[Piece]:
        """Find the tokens of a tokenizer that does not say where they are; one that is not found has no letters."""
        tokens = self.tokenizer.tokenize(text)
        found: list[Piece] = []
        stop = 0
        for token, number in zip(tokens, self.tokenizer.convert_tokens_to_ids(tokens), strict=True):
            letters = token if token in text else re.sub("^(##|▁|Ġ)", "", token)
            start = text.find(letters, stop)
            start, stop = (start, start + len(letters)) if start >= 0 else (stop, stop)
            found.append((number, start, stop))
        return found

    def _read(self, text: str, spelling: Spelling, pieces: Sequence[Piece]) -> list[Piece]:
        """Return pieces with `UNREAD` wherever the vocabulary lacks, or the tokenizer leaves out, something of a text."""
        found: list[Piece] = []
        end = 0
        for token, start, stop in pieces:
            if text[end:start] not in ("", spelling.separator):
                found.append((UNREAD, end, start))
            letters = text[start:stop].strip(spelling.separator)
            read = token not in self._unreadable and not any(map(str.isspace, letters))
            found.append((token if read else UNREAD, start, stop))
            end = max(end, stop)
        return [*found, (UNREAD, end, len(text))] if end < len(text) else found

    def _ids(self, text: str, spelling: Spelling) -> list[int]:
        return [token for token, _, _ in self._read(text, spelling, self._pieces([text])[0])]

    def _readable(self, modality: Modality) -> list[Spelling]:
        """Return the spellings of a modality that the vocabulary has all letters of and tells apart; of equal ones the first."""
        found: dict[tuple[int, ...], Spelling] = {}
        for spelling in _SPELLINGS[modality]:
            runs = [tuple(self._ids(spelling(letter * _RUN), spelling)) for letter in _DIFFERENT[modality]]
            ids = tuple(self._ids(spelling(_PROBES[modality]), spelling))
            if UNREAD not in {*ids, *(token for run in runs for token in run)} and len(set(runs)) == len(runs):
                found.setdefault(ids, spelling)
        return list(found.values())

    def _lacks(self, modality: Modality) -> str:
        """Say what keeps a vocabulary from writing a modality."""
        plain, symbols = _SPELLINGS[modality][0], [*re.findall(SMILES_PATTERN, _PROBES[modality])]
        spelled = [plain(symbol) for symbol in dict.fromkeys([*symbols, *_DIFFERENT[modality]])]
        lacking = [symbol for symbol in spelled if UNREAD in self._ids(symbol, plain)]
        why = f"lacks {' '.join(lacking[:12])}" if lacking else f"takes some of {' '.join(spelled)} for one another"
        return f"the vocabulary cannot write {modality}: it {why}"

    def _only(self, writable: set[Modality], readable: dict[Modality, list[Spelling]]) -> Modality:
        """Return the one modality that a vocabulary can write. Twenty residues are a protein's, although ACGT are among them."""
        residues, bases = (
            {(s.upper, s.separator) for s in readable[m]} for m in (Modality.AMINO_ACID, Modality.NUCLEOTIDE)
        )
        if writable == {Modality.AMINO_ACID, Modality.NUCLEOTIDE} and bases <= residues:
            writable = {Modality.AMINO_ACID}
        if not writable:
            raise ValueError(f"{'; '.join(map(self._lacks, Modality))}; {_REMEDY}")
        if len(writable) > 1:
            names = " and ".join(m.value for m in Modality if m in writable)
            raise ValueError(
                f"the vocabulary can write {names}: pass modality=, the one that the encoder was trained on"
            )
        return writable.pop()

    def _surroundings(self, text: str) -> tuple[list[int], list[int]]:
        """Return the special tokens before and after a sequence."""
        whole = self.tokenizer(text, padding=False, truncation=False, verbose=False)["input_ids"]
        own = [token for token, _, _ in self._pieces([text])[0]]
        for start in range(len(whole) - len(own) + 1):
            if whole[start : start + len(own)] == own:
                return whole[:start], whole[start + len(own) :]
        raise ValueError(
            f"the tokenizer, {type(self.tokenizer).__name__}, makes other tokens of a sequence beside special tokens than "
            "without them: pass tokenizer=, one that does not"
        )

    @torch.inference_mode()
    def _limit(self, own: list[int]) -> int:
        """Return the longest input in tokens: the tokenizer's, the configuration's, or that of the positions' table.

        RoBERTa's table begins with positions that are never used: which one the first token has is seen in the network.
        """
        config, seen = self.model.config, list[int]()
        positions = getattr(config, "max_position_embeddings", None)
        words = self.model.get_input_embeddings()
        tables = [m for m in self.model.modules() if isinstance(m, nn.Embedding) and m.num_embeddings == positions]
        hooks = [
            table.register_forward_hook(lambda _, given, __: seen.append(int(given[0].max())))
            for table in tables
            if table is not words
        ]
        ids = torch.tensor([[*self._prefix, *own, *self._suffix]], device=self.device)
        try:
            logits = self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        finally:
            for hook in hooks:
                hook.remove()
        if logits.shape[:2] != ids.shape or not logits.isfinite().all():
            raise ValueError(
                f"the network gives logits {tuple(logits.shape)} of {ids.shape[1]} tokens: expected finite ones of each token"
            )
        unused = max([0, *(last - (ids.shape[1] - 1) for last in seen)])
        limits = [self.tokenizer.model_max_length, *([positions - unused] if positions else [])]
        if (limit := min(limits)) > 10**9:  # what transformers says for none
            raise ValueError("neither tokenizer nor configuration says how long an input may be: set model_max_length")
        return int(limit)

    def _likeliest(self, modality: Modality, spellings: list[Spelling]) -> Spelling:
        """Return the spelling in which the network finds a real sequence likeliest, a letter."""
        if len(spellings) == 1:
            return spellings[0]

        def log_probability(spelling: Spelling) -> float:
            text = spelling(_PROBES[modality])
            pieces = self._pieces([text])[0][: self.max_length - self.before - self.after]
            ids = [*self._prefix, *(token for token, _, _ in pieces), *self._suffix]
            letters = spelling.position(text, pieces[-1][2])
            return float(self._score([ids])[0].sum()) / letters

        return max(spellings, key=log_probability)

    def _score(self, rows: list[list[int]]) -> list[Any]:
        return token_log_probabilities(
            self.model,
            rows,
            self.tokenizer.mask_token_id,
            self.tokenizer.pad_token_id or 0,
            self.max_length,
            scored=[self.own(row) for row in rows],
        )


def _check_network(model: Any, tokenizer: Any) -> None:
    config = model.config
    if getattr(config, "is_decoder", False) or getattr(config, "is_encoder_decoder", False):
        raise ValueError(
            f"the network, {config.model_type}, writes from left to right: expected a masked language model"
        )
    if tokenizer.mask_token_id is None:
        raise ValueError(
            f"the tokenizer, {type(tokenizer).__name__}, has no mask token: the network is no masked language model, or "
            "tokenizer.mask_token is to be set"
        )
    known, rows = max(tokenizer.get_vocab().values(), default=0) + 1, model.get_input_embeddings().num_embeddings
    if max(known, tokenizer.mask_token_id + 1) > rows:
        raise ValueError(f"the tokenizer has {known} tokens and the network {rows}: they do not belong together")
