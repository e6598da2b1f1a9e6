"""Corrupted copies of real sequences, to see whether an encoder can tell them apart."""

import re
from collections.abc import Sequence

import numpy as np

from lobster.constants import Modality
from lobster.model.utils import canonical_smiles
from lobster.tokenization.vocabulary import SMILES_PATTERN

_LETTERS = {Modality.AMINO_ACID: "ACDEFGHIKLMNPQRSTVWY", Modality.NUCLEOTIDE: "ACGT"}


def corrupt_smiles(
    smiles: str, alphabet: Sequence[str], rng: np.random.Generator, changes: int = 4, tries: int = 400
) -> str | None:
    """Replace tokens of a SMILES one by one so that RDKit accepts every step.

    Args:
        smiles: A valid SMILES.
        alphabet: Tokens to draw replacements from; one that stands there n times is drawn n times as often.
        rng: The generator to draw from.
        changes: How many tokens to replace, each at another position.
        tries: Replacements to try in all.

    Returns:
        The corruption, a molecule other than the original; None where none was found.

    >>> rng = np.random.default_rng(0)
    >>> corrupt_smiles("CCOC(=O)c1ccccc1", ["C", "N", "O", "F", "c", "n", "="], rng) != "CCOC(=O)c1ccccc1"
    True
    """
    tokens = re.findall(SMILES_PATTERN, smiles)
    free = list(range(len(tokens)))
    for _ in range(tries):
        position, replacement = int(rng.choice(free)), str(rng.choice(alphabet))
        candidate = [*tokens[:position], replacement, *tokens[position + 1 :]]
        if replacement == tokens[position] or canonical_smiles("".join(candidate)) is None:
            continue
        tokens = candidate
        free.remove(position)
        if len(free) == 0:
            return None
        changes -= 1
        if changes == 0:
            corrupted = "".join(tokens)
            return corrupted if canonical_smiles(corrupted) != canonical_smiles(smiles) else None
    return None


def corrupt_letters(sequence: str, modality: Modality, rng: np.random.Generator, rate: float) -> str:
    """Replace a share of the letters of a protein or nucleotide sequence by others, each other letter as likely.

    >>> corrupt_letters("MKTV", Modality.AMINO_ACID, np.random.default_rng(0), 0.25) != "MKTV"
    True
    """
    letters = list(sequence)
    for position in rng.choice(len(letters), max(1, round(rate * len(letters))), replace=False):
        others = [letter for letter in _LETTERS[modality] if letter != letters[position].upper()]
        letters[position] = str(rng.choice(others))
    return "".join(letters)


def shuffled(sequence: str, rng: np.random.Generator) -> str:
    """Return the letters of a sequence in random order."""
    return "".join(rng.permutation(list(sequence)))
