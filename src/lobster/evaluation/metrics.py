"""Metrics of a set of generated molecules."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lobster.model.utils import canonical_smiles


@dataclass(frozen=True)
class SmilesMetrics:
    """Metrics of generated SMILES (Polykovskiy et al., "Molecular Sets (MOSES)", Front. Pharmacol. 2020).

    Attributes:
        count: Number of strings.
        validity: Share that RDKit can parse.
        uniqueness: Share of distinct molecules among the valid ones.
        internal_diversity: 1 − mean Tanimoto similarity of pairs of valid molecules.
        mean_length: Mean length of the strings in characters.
    """

    count: int
    validity: float
    uniqueness: float
    internal_diversity: float
    mean_length: float


def smiles_metrics(samples: Sequence[str]) -> SmilesMetrics:
    """Measure generated SMILES; what cannot be said of too few molecules is NaN.

    >>> smiles_metrics(["CCO", "OCC", "c1ccccc1", "C1CC"])
    SmilesMetrics(count=4, validity=0.75, uniqueness=0.6666666666666666, internal_diversity=0.6666666666666667, mean_length=4.5)
    """
    canonical = [c for c in map(canonical_smiles, samples) if c is not None]
    return SmilesMetrics(
        count=len(samples),
        validity=len(canonical) / len(samples) if samples else np.nan,
        uniqueness=len(set(canonical)) / len(canonical) if canonical else np.nan,
        internal_diversity=internal_diversity(canonical),
        mean_length=float(np.mean([len(s) for s in samples])) if samples else np.nan,
    )


def internal_diversity(smiles: Sequence[str]) -> float:
    """Return 1 − mean Tanimoto similarity over all pairs of molecules (Morgan fingerprints, radius 2, 2,048 bits).

    Args:
        smiles: Valid SMILES; a molecule that stands twice counts twice.

    Returns:
        A number in [0, 1]; NaN for fewer than two molecules.

    >>> internal_diversity(["CCO", "CCO"])
    0.0
    """
    if len(smiles) < 2:
        return np.nan
    from rdkit import Chem, DataStructs
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in smiles]
    similarities = [DataStructs.BulkTanimotoSimilarity(p, prints[:i]) for i, p in enumerate(prints) if i]
    return 1.0 - float(np.concatenate(similarities).mean())
