"""The layout of the vocabulary: 1280 ids, shared special tokens first, then a range for each modality.

| ids       | tokens                                                                    |
|-----------|---------------------------------------------------------------------------|
| 0–24      | special tokens                                                            |
| 25–51     | amino acids: the 20, then X B U Z O, and ``*`` for a stop                 |
| 52–1263   | SMILES tokens: the grammar first, then atoms by frequency in our corpora  |
| 1264–1279 | nucleotides: a c g t n u, then the other IUPAC ambiguity codes            |
"""

import re
from collections import Counter
from collections.abc import Iterable
from importlib.resources import files

from lobster.constants import Modality

VOCABULARY_SIZE = 1280

SPECIAL_TOKENS = (
    *("<cls>", "<cls_amino_acid>", "<cls_smiles>", "<cls_nucleotide>", "<eos>", "<unk>", "<pad>", "<sep>", "<mask>"),
    *("<cls_convert>", "<cls_interact>"),
    *(f"<extra_special_token_{i}>" for i in range(14)),
)

# Bracket atoms whole, ring closures %nn whole, two-letter halogens whole, every other character alone.
SMILES_PATTERN = r"\[[^\[\]]+\]|%[0-9]{2}|Br|Cl|[\s\S]"

_FIRST_ID = {Modality.AMINO_ACID: 25, Modality.SMILES: 52, Modality.NUCLEOTIDE: 1264}
_CAPACITY = {Modality.AMINO_ACID: 27, Modality.SMILES: 1212, Modality.NUCLEOTIDE: 16}

# What any SMILES can hold whatever the corpus: the organic subset, bonds, branches and ring closures up to %49.
_SMILES_GRAMMAR = (
    *("C", "N", "O", "S", "P", "F", "Cl", "Br", "I", "B", "c", "n", "o", "s", "p", "b", "*"),
    *("(", ")", ".", "-", "=", "#", "$", ":", "/", "\\"),
    *"1234567890",
    *(f"%{i}" for i in range(10, 50)),
)


def smiles_tokens(corpus: Iterable[str]) -> list[str]:
    """Return the SMILES vocabulary of a corpus: the grammar, then its bracket atoms, the most frequent first.

    Args:
        corpus: SMILES strings.

    >>> smiles_tokens(["C[NH3+]", "[Na+].[NH3+]C"])[-2:]
    ['[NH3+]', '[Na+]']
    """
    split = re.compile(SMILES_PATTERN)
    counts = Counter(token for smiles in corpus for token in split.findall(smiles) if len(token) > 2)
    atoms = sorted((token for token in counts if token.startswith("[")), key=lambda token: (-counts[token], token))
    return [*_SMILES_GRAMMAR, *atoms][: _CAPACITY[Modality.SMILES]]


def modality_tokens(modality: Modality) -> dict[str, int]:
    """Return the tokens of a modality with their ids in the shared vocabulary (special tokens not among them).

    >>> modality_tokens(Modality.NUCLEOTIDE)["a"]
    1264
    """
    match modality:
        case Modality.AMINO_ACID:
            tokens: Iterable[str] = "LAGVSERTIDPKQNFYMHWCXBUZO*"
        case Modality.NUCLEOTIDE:
            tokens = "acgtnuryswkmbdhv"
        case Modality.SMILES:
            tokens = files("lobster.tokenization").joinpath("smiles_tokens.txt").read_text().split()
    return {token: _FIRST_ID[modality] + i for i, token in enumerate(tokens)}
