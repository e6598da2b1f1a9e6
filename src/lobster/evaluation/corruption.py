"""Corrupted copies of real sequences, to see whether an encoder can tell them apart."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from lobster.constants import Modality
from lobster.model.utils import canonical_smiles
from lobster.tokenization.vocabulary import SMILES_PATTERN

_LETTERS = {Modality.AMINO_ACID: "ACDEFGHIKLMNPQRSTVWY", Modality.NUCLEOTIDE: "ACGT"}


def swap_tokens(smiles: str, rng: np.random.Generator, swaps: int = 4) -> str | None:
    """Exchange two different tokens of a SMILES, several times, so that RDKit accepts every step.

    The corruption has the tokens of the original: how often each comes tells nothing.

    Args:
        smiles: A valid SMILES.
        rng: The generator to draw from.
        swaps: How many exchanges to make.

    Returns:
        Another molecule than the original; None where none was found in 400 tries.

    >>> swapped = swap_tokens("CCOC(=O)c1ccccc1", np.random.default_rng(0))
    >>> sorted(swapped) == sorted("CCOC(=O)c1ccccc1"), swapped == "CCOC(=O)c1ccccc1"
    (True, False)
    """

    def exchange(tokens: list[str]) -> list[str]:
        i, j = rng.integers(len(tokens), size=2)
        tokens[i], tokens[j] = tokens[j], tokens[i]
        return tokens

    return _change(smiles, exchange, swaps)


def replace_tokens(smiles: str, alphabet: Sequence[str], rng: np.random.Generator, changes: int = 4) -> str | None:
    """Replace a token of a SMILES, several times, so that RDKit accepts every step.

    With replacements drawn as often as they come in real molecules this is the harder corruption: many of its results
    are molecules that a chemist would accept.

    Args:
        smiles: A valid SMILES.
        alphabet: Tokens to draw replacements from; one that stands there n times is drawn n times as often.
        rng: The generator to draw from.
        changes: How many replacements to make.

    Returns:
        Another molecule than the original; None where none was found in 400 tries.

    >>> replace_tokens("CCOC(=O)c1ccccc1", ["F", "N"], np.random.default_rng(0)) != "CCOC(=O)c1ccccc1"
    True
    """

    def replace(tokens: list[str]) -> list[str]:
        tokens[rng.integers(len(tokens))] = str(rng.choice(alphabet))
        return tokens

    return _change(smiles, replace, changes)


def _change(smiles: str, step: Callable[[list[str]], list[str]], steps: int, tries: int = 400) -> str | None:
    """Take steps that change the text and that RDKit accepts."""
    tokens = re.findall(SMILES_PATTERN, smiles)
    for _ in range(tries):
        changed = step(list(tokens))
        if changed == tokens or canonical_smiles("".join(changed)) is None:
            continue
        tokens, steps = changed, steps - 1
        if steps == 0:
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
