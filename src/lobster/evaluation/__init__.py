"""How good a policy's samples are, and what models make of sequences that they were not trained on."""

from lobster.evaluation.metrics import SmilesMetrics, internal_diversity, smiles_metrics
from lobster.evaluation.policies import policy_scorecard
from lobster.evaluation.sampling import sample
from lobster.evaluation.scorecard import scorecard
from lobster.evaluation.table import Figure, markdown

__all__ = [
    "Figure",
    "SmilesMetrics",
    "internal_diversity",
    "markdown",
    "policy_scorecard",
    "sample",
    "scorecard",
    "smiles_metrics",
]
