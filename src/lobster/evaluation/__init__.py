"""How good a policy's samples are, and what models make of sequences that they were not trained on."""

from lobster.evaluation.growing import fill_in, grow
from lobster.evaluation.identity import families, identity, mean_identity
from lobster.evaluation.metrics import (
    SequenceMetrics,
    SmilesMetrics,
    biased_composition,
    frequency_difference,
    internal_diversity,
    sample_metrics,
    sequence_metrics,
    smiles_metrics,
)
from lobster.evaluation.policies import policy_scorecard
from lobster.evaluation.sampling import sample
from lobster.evaluation.scorecard import scorecard
from lobster.evaluation.table import Figure, markdown

__all__ = [
    "Figure",
    "SequenceMetrics",
    "SmilesMetrics",
    "biased_composition",
    "families",
    "fill_in",
    "frequency_difference",
    "grow",
    "identity",
    "internal_diversity",
    "markdown",
    "mean_identity",
    "policy_scorecard",
    "sample",
    "sample_metrics",
    "scorecard",
    "sequence_metrics",
    "smiles_metrics",
]
