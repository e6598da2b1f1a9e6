"""How good a policy's samples are, and how well an encoder tells real molecules from corrupted ones."""

from lobster.evaluation.metrics import SmilesMetrics, internal_diversity, smiles_metrics
from lobster.evaluation.sampling import sample

__all__ = ["SmilesMetrics", "internal_diversity", "sample", "smiles_metrics"]
