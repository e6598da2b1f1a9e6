"""Metrics of sets of generated molecules: how many are valid, distinct and new, and how diverse they are.

They are those of MOSES (Polykovskiy et al., "Molecular Sets (MOSES): A Benchmarking Platform for Molecular Generation Models",
Front. Pharmacol. 11, 2020) where it has one; proteins and nucleotide sequences have counterparts by the identity of alignments.
What cannot be said of too few sequences, or without a reference, is NaN.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lobster.constants import Modality
from lobster.evaluation.corruption import LETTERS
from lobster.evaluation.identity import Relatives, families, mean_identity
from lobster.scoring.molecules import alerts, qed
from lobster.sequences import canonical_smiles, normal_form
from lobster.sequences.chemistry import molecule, murcko_scaffold


@dataclass(frozen=True)
class SmilesMetrics:
    """Metrics of generated SMILES; shares and diversities are in [0, 1].

    Attributes:
        count: Number of strings.
        validity: Share that describes a molecule (`lobster.sequences.canonical_smiles`); open attachment points make it
            none.
        uniqueness: Share of distinct molecules among the valid ones (by canonical SMILES).
        novelty: Share of the distinct valid molecules that are not in the reference.
        internal_diversity: `internal_diversity` of the valid molecules.
        scaffold_diversity: Distinct Bemis-Murcko scaffolds for each valid molecule; all acyclic molecules share the empty
            scaffold. MOSES compares scaffolds with those of a test set instead.
        filters_passed: Share of the valid molecules without a substructure of RDKit's PAINS and BRENK catalogues (Baell and
            Holloway, J. Med. Chem. 53, 2010; Brenk et al., ChemMedChem 3, 2008). MOSES has filters of its own.
        qed: Mean quantitative estimate of drug-likeness of the valid molecules (Bickerton et al., Nat. Chem. 4, 2012).
        mean_length: Mean length of the strings in characters.
    """

    count: int
    validity: float
    uniqueness: float
    novelty: float
    internal_diversity: float
    scaffold_diversity: float
    filters_passed: float
    qed: float
    mean_length: float


@dataclass(frozen=True)
class SequenceMetrics:
    """Metrics of generated proteins or nucleotide sequences; all but the last two are in [0, 1].

    Attributes:
        count: Number of strings.
        validity: Share of proteins of the 20 amino acids alone; of nucleotide sequences in IUPAC letters; in either
            case, in lines or FASTA (`lobster.sequences.normal_form`).
        uniqueness: Share of distinct sequences among the valid ones.
        novelty: Share of the distinct valid sequences that are less than 80 % identical to each one of the reference.
        internal_diversity: 1 − mean identity of pairs of valid sequences, at most 5,000 random ones. A sequence is not
            paired with itself, other than MOSES does with molecules.
        families_per_sequence: Families for each valid sequence, of at least 80 % identity with their longest members.
        largest_family: Share of the valid sequences that are in the largest family.
        frequency_difference: `frequency_difference` of the valid sequences from the reference.
        biased_composition: `biased_composition` of the valid sequences; 0.05 where they are like the reference.
        mean_length: Mean length of the strings in letters.
    """

    count: int
    validity: float
    uniqueness: float
    novelty: float
    internal_diversity: float
    families_per_sequence: float
    largest_family: float
    frequency_difference: float
    biased_composition: float
    mean_length: float


def sample_metrics(
    samples: Sequence[str], modality: Modality, reference: Sequence[str] | None = None
) -> SmilesMetrics | SequenceMetrics:
    """Measure generated sequences of a modality: `smiles_metrics` or `sequence_metrics`.

    >>> sample_metrics(["MKTV", "MKTJ"], Modality.AMINO_ACID).validity
    0.5
    """
    if modality is Modality.SMILES:
        return smiles_metrics(samples, reference)
    return sequence_metrics(samples, modality, reference)


def smiles_metrics(samples: Sequence[str], reference: Iterable[str] | None = None) -> SmilesMetrics:
    """Measure generated SMILES: 6 ms for a molecule, most of it for the filters and QED, and 0.4 ms for one of the reference.

    Args:
        samples: SMILES in any spelling; a molecule that comes twice counts twice, but for uniqueness and novelty.
        reference: SMILES in any spelling, of what the model learned from for example.

    >>> metrics = smiles_metrics(["CCO", "OCC", "c1ccccc1", "C1CC"], reference=["C(O)C"])
    >>> metrics.validity, round(metrics.uniqueness, 3), metrics.novelty
    (0.75, 0.667, 0.5)
    >>> round(metrics.internal_diversity, 3), round(metrics.scaffold_diversity, 3), metrics.filters_passed
    (0.444, 0.667, 1.0)
    """
    valid = [canonical for s in samples if (canonical := canonical_smiles(s))]
    distinct = set(valid)
    properties = {c: (alerts(c), qed(c)) for c in distinct}
    scaffolds = {murcko_scaffold(c) for c in distinct}
    known = set() if reference is None else {canonical_smiles(r) for r in reference}
    return SmilesMetrics(
        count=len(samples),
        validity=_ratio(len(valid), len(samples)),
        uniqueness=_ratio(len(distinct), len(valid)),
        novelty=np.nan if reference is None else _ratio(len(distinct - known), len(distinct)),
        internal_diversity=internal_diversity(valid),
        scaffold_diversity=_ratio(len(scaffolds), len(valid)),
        filters_passed=_mean([properties[c][0] for c in valid]),
        qed=_mean([properties[c][1] for c in valid]),
        mean_length=_mean([len(s) for s in samples]),
    )


def internal_diversity(smiles: Sequence[str]) -> float:
    """Return 1 − mean Tanimoto similarity of all N² ordered pairs, a molecule with itself among them (MOSES' IntDiv, p = 1).

    Fingerprints are Morgan's of radius 2 in 1,024 bits. For N molecules it is at most 1 − 1/N.

    Args:
        smiles: Valid SMILES; a molecule that stands twice counts twice.

    Raises:
        ValueError: RDKit cannot parse one.

    >>> internal_diversity(["CCO", "c1ccccc1"])  # nothing in common: two similarities of 1 and two of 0
    0.5
    """
    if not smiles:
        return np.nan
    from rdkit.Chem import rdFingerprintGenerator
    from rdkit.DataStructs import BulkTanimotoSimilarity

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    prints = [generator.GetFingerprint(molecule(s)) for s in smiles]
    below = sum(sum(BulkTanimotoSimilarity(p, prints[:i])) for i, p in enumerate(prints))
    return 1 - (2 * below + len(prints)) / len(prints) ** 2


def sequence_metrics(
    samples: Sequence[str], modality: Modality, reference: Sequence[str] | None = None, threshold: float = 0.8
) -> SequenceMetrics:
    """Measure generated proteins or nucleotide sequences.

    Args:
        samples: Sequences; one that comes twice counts twice, but for uniqueness and novelty. DNA is compared in any letter case,
            and with RNA.
        modality: Their modality.
        reference: Sequences of what the model learned from for example; what is not valid among them is left out.
        threshold: Least `identity` of a family, and of a sequence that is not new.

    >>> metrics = sequence_metrics(["ACGTTGCATT", "acgttgcatt", "ACGUUGCAUU", "E"], Modality.NUCLEOTIDE, ["GGGGACGTTGCATTG"])
    >>> metrics.validity, round(metrics.uniqueness, 3), metrics.novelty, metrics.internal_diversity
    (0.75, 0.333, 0.0, 0.0)
    """
    valid = _valid(samples, modality)
    distinct = set(valid)
    novelty, difference, biased = np.nan, np.nan, np.nan
    if reference is not None:
        known = _valid(reference, modality)
        relatives, copies = Relatives(known, modality, threshold), set(known)
        novelty = _mean([s not in copies and not relatives.include(s) for s in distinct])
        difference, biased = frequency_difference(valid, known), biased_composition(valid, known)
    sizes = [len(family) for family in families(valid, modality, threshold)]
    return SequenceMetrics(
        count=len(samples),
        validity=_ratio(len(valid), len(samples)),
        uniqueness=_ratio(len(distinct), len(valid)),
        novelty=novelty,
        internal_diversity=1 - mean_identity(valid, modality),
        families_per_sequence=_ratio(len(sizes), len(valid)),
        largest_family=_ratio(max(sizes, default=0), len(valid)),
        frequency_difference=difference,
        biased_composition=biased,
        mean_length=_mean([len(s) for s in samples]),
    )


def frequency_difference(samples: Sequence[str], reference: Sequence[str]) -> float:
    """Return the largest relative difference of a letter's frequency; letters of less than half a percent are left out.

    >>> round(frequency_difference(["AAAC"], ["AACC"]), 3)  # A is 1.5 times, C 0.5 times as frequent
    0.5
    """
    one, other = (Counter("".join(sequences)) for sequences in (samples, reference))
    if not one or not other:
        return np.nan
    frequent = [letter for letter, n in other.items() if n > 0.005 * other.total()]
    return max(abs(one[x] / one.total() / (other[x] / other.total()) - 1) for x in frequent)


def biased_composition(samples: Sequence[str], reference: Sequence[str]) -> float:
    """Return the share of samples whose letters are further from the reference's frequencies than 95 % of the reference's.

    How far a sequence is, is Pearson's chi-squared of its counts. Samples that are each made of few letters may have the frequencies
    of the reference all together, and a `frequency_difference` of 0.

    >>> real = ["AACC", "CACA", "ACAC", "CCAA"]
    >>> biased_composition(["AAAA", "CCCC"], real), biased_composition(real, real)
    (1.0, 0.0)
    """
    if not samples or not reference:
        return np.nan
    letters = sorted(set("".join(reference)))
    counts = [np.array([[s.count(x) for x in letters] for s in some]) for some in (samples, reference)]
    frequencies = counts[1].sum(0) / counts[1].sum()
    expected = [n.sum(1, keepdims=True).clip(1) * frequencies for n in counts]
    far, usual = [((n - e) ** 2 / e).sum(1) for n, e in zip(counts, expected, strict=True)]
    return float(np.mean(far > np.quantile(usual, 0.95)))


def _valid(sequences: Sequence[str], modality: Modality) -> list[str]:
    """Return the valid sequences in their normal form."""
    normal = [n for s in sequences if (n := normal_form(s, modality))]
    return normal if modality is Modality.NUCLEOTIDE else [n for n in normal if set(n) <= set(LETTERS[modality])]


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else np.nan


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else np.nan
