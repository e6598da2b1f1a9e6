"""Sequence complexity: 1 for what is as varied as real sequences are, little for repeats, chains and what is next to nothing.

Likelihood loves repeats. Each measure below is compared with a bound that all but a few real sequences reach; the worst
ratio counts, to a high power, so that what is real keeps its full reward and what is far below the bound loses nearly all.
"""

import numpy as np

from lobster.constants import Modality
from lobster.sequences.chemistry import molecule, unlabelled

# Bounds: reached by at least 99 % of the held-out sequences of each modality, all measures together, and of the short
# sequences (up to 126 residues or codons) that the policies which ship were trained on.
_POWER = 8
_LEAST = 0.01  # any molecule is still better than none
_DISTINCT = {Modality.SMILES: (5, 0.53), Modality.AMINO_ACID: (3, 0.64), Modality.NUCLEOTIDE: (8, 0.83)}  # k, share
_HEAVY_ATOMS = 7  # of the largest fragment
_LARGEST_FRAGMENT = 0.65  # its share of all heavy atoms
_ASYMMETRY = 0.4  # atoms that symmetry tells apart, as a share
_LENGTH = {Modality.AMINO_ACID: 20, Modality.NUCLEOTIDE: 60}  # letters; the mean over a few tokens is a matter of luck
_OUTSIDE = {Modality.AMINO_ACID: 0.12, Modality.NUCLEOTIDE: 0.3}  # share of letters outside low-complexity windows

_SEG_WINDOW, _SEG_BITS = 12, 2.2
_DUST_WINDOW, _DUST_SCORE = 64, 2.0


def complexity(sequence: str, modality: Modality | str) -> float:
    """Return how complex a sequence is, beside real ones, in [0.01, 1].

    - All: distinct k-mers as a share of all k-mers (linguistic complexity: Trifonov, 1990), k = 5 characters of a
      SMILES, 3 residues, 8 nucleotides. It finds repeats of any period.
    - SMILES: heavy atoms of the largest fragment, and its share of all heavy atoms; atoms that no symmetry of the molecule
      exchanges, as a share.
    - Proteins and nucleotides: the length, beside 20 residues or 60 bases.
    - Proteins: share of residues outside windows of 12 with an entropy below 2.2 bits (SEG: Wootton and Federhen,
      "Statistics of local complexity in amino acid sequences", 1993).
    - Nucleotides: share of bases outside windows of 64 whose triplets score above 2 (DUST: Morgulis et al., "A fast and
      symmetric DUST implementation", 2006).

    Each is divided by its bound; the smallest ratio counts, 1 at most, to the power of 8. At least 0.01 is left, so that any
    molecule is better than none.

    Args:
        sequence: In its normal form: canonical SMILES, upper-case residues, DNA in lower case. Isotopes do not count.
        modality: What it is.

    >>> complexity("CC(=O)Oc1ccccc1C(=O)O", "SMILES"), round(complexity("CCO", "SMILES"), 3)
    (1.0, 0.01)
    >>> complexity("A" * 50, "amino_acid"), complexity("MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEG", "amino_acid")
    (0.01, 1.0)
    """
    modality = Modality(modality)
    sequence = unlabelled(sequence) if modality is Modality.SMILES else sequence
    k, bound = _DISTINCT[modality]
    ratios = [1.0, _distinct_share(sequence, k) / bound]
    match modality:
        case Modality.SMILES:
            ratios += _molecule_ratios(sequence)
        case Modality.AMINO_ACID:
            ratios += [len(sequence) / _LENGTH[modality], _outside(*_low_entropy(sequence)) / _OUTSIDE[modality]]
        case Modality.NUCLEOTIDE:
            ratios += [len(sequence) / _LENGTH[modality], _outside(*_dusty(sequence)) / _OUTSIDE[modality]]
    return max(_LEAST, min(ratios) ** _POWER)


def _distinct_share(sequence: str, k: int) -> float:
    count = len(sequence) - k + 1
    return len({sequence[i : i + k] for i in range(count)}) / count if count > 0 else 1.0


def _molecule_ratios(smiles: str) -> list[float]:
    from rdkit import Chem

    mol = molecule(smiles)
    heavy = [sum(mol.GetAtomWithIdx(i).GetAtomicNum() > 1 for i in atoms) for atoms in Chem.GetMolFrags(mol)]
    largest = max(heavy, default=0)
    different = len(set(Chem.CanonicalRankAtoms(mol, breakTies=False)))
    return [
        largest / _HEAVY_ATOMS,
        largest / max(sum(heavy), 1) / _LARGEST_FRAGMENT,
        different / max(mol.GetNumAtoms(), 1) / _ASYMMETRY,
    ]


def _low_entropy(sequence: str) -> tuple[np.ndarray, int, int]:
    codes = np.frombuffer(sequence.encode(), dtype=np.uint8)
    window = min(_SEG_WINDOW, len(codes))
    counts = _window_counts(np.unique(codes, return_inverse=True)[1], window)
    share = counts / window
    entropy = -(share * np.log2(np.where(share > 0, share, 1))).sum(1)
    # A shorter window cannot hold as many bits.
    return entropy < min(_SEG_BITS, 0.8 * np.log2(window)), window, len(codes)


def _dusty(sequence: str) -> tuple[np.ndarray, int, int]:
    codes = np.unique(np.frombuffer(sequence.encode(), dtype=np.uint8), return_inverse=True)[1].astype(np.int64)
    if len(codes) < 4:
        return np.array([False]), len(codes), len(codes)
    triplets = np.unique((codes[:-2] * 256 + codes[1:-1]) * 256 + codes[2:], return_inverse=True)[1]
    window = min(_DUST_WINDOW - 2, len(triplets))
    counts = _window_counts(triplets, window)
    score = (counts * (counts - 1) / 2).sum(1) / max(1, window - 1)
    return score > _DUST_SCORE, window + 2, len(codes)


def _window_counts(codes: np.ndarray, window: int) -> np.ndarray:
    """Count each code in each window: (windows, codes)."""
    one_hot = np.zeros((len(codes) + 1, codes.max() + 1), dtype=np.int32)
    one_hot[np.arange(1, len(codes) + 1), codes] = 1
    sums = one_hot.cumsum(0)
    return sums[window:] - sums[:-window]


def _outside(low: np.ndarray, window: int, length: int) -> float:
    """Return the share of letters that are in no window of low complexity."""
    edges = np.zeros(length + 1, dtype=np.int64)
    starts = np.flatnonzero(low)
    np.add.at(edges, starts, 1)
    np.subtract.at(edges, starts + window, 1)
    return float((edges.cumsum()[:length] == 0).mean())
