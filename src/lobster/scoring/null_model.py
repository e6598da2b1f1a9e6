"""What a likelihood is held against: how probable a sequence's tokens are to somebody who knows only what follows what."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self

from lobster.constants import Modality

# Tokens before a token that it is predicted from: SMILES have a grammar, which is easily learned, proteins hardly have one.
_ORDER = {Modality.SMILES: 2, Modality.AMINO_ACID: 0, Modality.NUCLEOTIDE: 0}
_PLACES = {Modality.NUCLEOTIDE: 3}  # the bases of a codon are counted apart
_OWN = 10  # tokens that the reference is worth beside the sequence's own
_SHORTER = 5  # tokens that a shorter context is worth beside a longer one
_UNSEEN = 50  # kinds of token that the reference may lack

_RING_CLOSURE = "1"  # which digit it has, is spelling

Event = tuple[str, ...]  # the place, the tokens before, the token


class NullModel:
    """Predicts each token of a sequence from all the others by frequencies alone.

    The probability of a token is its frequency in the rest of the sequence, after the same tokens, shrunk to the reference's by
    ten tokens; the reference's after some tokens is shrunk to that after fewer. So a sequence owes nothing of what it gains over
    this model to being made of common tokens or of few, to the grammar of SMILES, or to saying one thing again and again.
    SMILES are predicted from two tokens before, proteins and nucleotides from none; the bases of a codon, and longer tokens by
    the base that they start with, are counted apart, from the first base on.

    That a sequence is held against its own composition is the idea of HMMER's null2 (Eddy, PLoS Comput. Biol. 4, 2008); shrinking to
    shorter contexts is that of MacKay and Peto, "A hierarchical Dirichlet language model", Nat. Lang. Eng. 1, 1995.

    Args:
        modality: Of the sequences.
        counts: How often each event came in the reference: place, tokens before (from none to all) and token.

    >>> null = NullModel.of([list("ACDEFGHIKL")] * 9, Modality.AMINO_ACID)
    >>> null.log_probability("AAAAAAAA") > null.log_probability("ACDEFGHI")
    True
    """

    def __init__(self, modality: Modality | str, counts: Mapping[Event, int]):
        self.modality, self.counts = Modality(modality), dict(counts)
        self._totals: Counter[Event] = Counter()
        for event, count in counts.items():
            self._totals[event[:-1]] += count
        self._uniform = 1 / (len({event[-1] for event in counts}) + _UNSEEN)

    @classmethod
    def of(cls, sequences: Iterable[Sequence[str]], modality: Modality | str, least: int = 1) -> Self:
        """Count the events of reference sequences, each given as its tokens; those of less than ``least`` are left out."""
        counts: Counter[Event] = Counter()
        for tokens in sequences:
            for place, *before, token in _events(tokens, Modality(modality)):
                counts.update((place, *before[first:], token) for first in range(len(before) + 1))
        return cls(modality, {event: count for event, count in counts.items() if count >= least})

    def log_probability(self, tokens: Sequence[str]) -> float:
        """Return the mean over a sequence's tokens of log p(token | rest), in nats; 0 where there is none."""
        events = list(_events(tokens, self.modality))
        own, contexts = Counter(events), Counter(event[:-1] for event in events)
        total = 0.0
        for event, count in own.items():
            rest, prior = contexts[event[:-1]] - 1, self._frequency(event)
            total += count * math.log((count - 1 + _OWN * prior) / (rest + _OWN))
        return total / max(len(events), 1)

    def _frequency(self, event: Event) -> float:
        """Return the reference's probability of a token at a place after some tokens."""
        place, *before, token = event
        frequency = self._uniform
        for first in reversed(range(len(before) + 1)):
            context = (place, *before[first:])
            seen = self.counts.get((*context, token), 0)
            frequency = (seen + _SHORTER * frequency) / (self._totals[context] + _SHORTER)
        return frequency


def _events(tokens: Sequence[str], modality: Modality) -> Iterator[Event]:
    order, places = _ORDER[modality], _PLACES.get(modality, 1)
    if modality is Modality.SMILES:
        tokens = [_RING_CLOSURE if token.isdigit() or token.startswith("%") else token for token in tokens]
    padded = [*[""] * order, *tokens]
    letters = 0  # before the token, which may be a k-mer
    for i, token in enumerate(tokens):
        yield (str(letters % places), *padded[i : i + order + 1])
        letters += len(token)
