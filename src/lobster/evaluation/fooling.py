"""Strings that please a likelihood and nobody else: repeats, chains and what is next to nothing."""

from itertools import combinations

from lobster.constants import Modality
from lobster.evaluation.corruption import LETTERS


def fooling_strings(modality: Modality) -> dict[str, list[str]]:
    """Return families of low-complexity sequences of a modality, by name.

    >>> {name: len(strings) for name, strings in fooling_strings(Modality.NUCLEOTIDE).items()}
    {'tiny nucleotides': 7, 'homopolymers': 12, 'two-letter repeats': 18, 'three-letter repeats': 3}
    """
    match modality:
        case Modality.SMILES:
            return {
                "carbon chains": ["C" * n for n in (8, 12, 16, 24, 40)],
                "two-letter repeats": [unit * n for unit in ("CO", "CN", "C=C", "C#C", "NC(=O)C") for n in (4, 8, 12)],
                "chains of rings": [_polyphenyl(n) for n in (2, 3, 5, 8)],
                "tiny molecules": ["C", "O", "N", "CC", "CO", "CN", "C=O", "CCO", "c1ccccc1", "C1CCCCC1", "CC(C)=O"],
                "salts and fragments": ["[Na+].[Cl-]", ".".join("C" * 8), ".".join(["CCO"] * 5), ".".join("O" * 12)],
            }
        case Modality.AMINO_ACID:
            return {
                "tiny proteins": ["M", "MA", "MK", "MKT", "MALLL", "MKKLL", "MSEEL", "AEELKR"],
                "homopolymers": [letter * n for letter in LETTERS[modality] for n in (30, 100)],
                "two-letter repeats": [(a + b) * 50 for a, b in combinations("ADEGKLPQSV", 2)],
                "three-letter repeats": [unit * 33 for unit in ("GSG", "PGA", "EKL", "AEK", "GPP")],
            }
        case Modality.NUCLEOTIDE:
            return {
                "tiny nucleotides": ["ATG", "ATGA", "ATGAAA", "ATGTAA", "ATGGCG", "ATGAAATAA", "GCGGCG"],
                "homopolymers": [letter * n for letter in LETTERS[modality] for n in (30, 150, 600)],
                "two-letter repeats": [
                    (a + b) * n for a, b in combinations(LETTERS[modality], 2) for n in (15, 75, 300)
                ],
                "three-letter repeats": [unit * 100 for unit in ("GCC", "AAG", "CAG")],
            }


def _polyphenyl(rings: int) -> str:
    """Return benzene rings in a row, each bound to the next in para position."""
    opened = "".join(f"c{i}ccc(-" for i in range(1, rings))
    closed = "".join(f")cc{i}" for i in reversed(range(1, rings)))
    return f"{opened}c{rings}ccccc{rings}{closed}"
