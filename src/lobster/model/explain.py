"""What an encoder finds of each token of a sequence: where a pseudo-likelihood comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lobster.constants import Modality
from lobster.sequences import _detect_modality, read_letters

if TYPE_CHECKING:
    from lobster.model.encoder import Encoder


@dataclass(frozen=True)
class Explanation:
    """A sequence by its tokens.

    Attributes:
        sequence: As it was scored.
        tokens: The encoder's, special ones left out.
        log_probabilities: log p(token | rest), (tokens,), in nats; 0 is a token that nothing else could stand for.
    """

    sequence: str
    tokens: list[str]
    log_probabilities: np.ndarray

    @property
    def of_letters(self) -> np.ndarray:
        """The log-probability of the token that each letter of the sequence belongs to, (letters,).

        Raises:
            ValueError: The tokens do not spell the sequence.
        """
        lengths = [len(token) for token in self.tokens]
        if sum(lengths) != len(self.sequence):
            raise ValueError(
                f"the tokens of {self.sequence[:20]!r}… spell {sum(lengths)} letters, expected {len(self.sequence)}: "
                "use tokens and log_probabilities"
            )
        return np.repeat(self.log_probabilities, lengths)


def explain(
    encoder: "Encoder", sequences: Sequence[str], modality: Modality | str, batch_size: int = 8
) -> list[Explanation | None]:
    """Return what an encoder finds of each token of sequences; None for what it cannot read.

    Args:
        encoder: The encoder.
        sequences: Sequences of one modality, read as `Encoder.token_log_probabilities` reads them, long ones in windows.
        modality: Their modality.
        batch_size: Memory to use, in sequences of the encoder's `max_length`.
    """
    modality = Modality(modality)
    found = encoder.token_log_probabilities(sequences, modality, batch_size, errors="null", long_sequences="windows")
    explanations: list[Explanation | None] = []
    for sequence, log_p in zip(sequences, found, strict=True):
        if not len(log_p):
            explanations.append(None)
            continue
        text = sequence.strip() if modality is Modality.SMILES else read_letters(sequence, modality)
        explanations.append(Explanation(text, encoder.tokens([text], modality)[0], log_p))
    return explanations


def explain_one(encoder: "Encoder", sequence: str, modality: Modality | str | None = None) -> Explanation:
    """Return what an encoder finds of each token of a sequence; see `Encoder.explain`.

    Raises:
        ValueError: It cannot be read; the message says why.
    """
    modality = _detect_modality(sequence) if modality is None else Modality(modality)
    if (found := explain(encoder, [sequence], modality)[0]) is None:
        encoder.read([sequence], modality, long_sequences="windows")  # which says what is wrong
    assert found is not None
    return found
