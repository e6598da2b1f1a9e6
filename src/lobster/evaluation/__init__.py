"""How good a policy's samples are, and what models make of sequences that they were not trained on."""

from lobster.evaluation.heldout import Pairs, UmeFigures, policy_perplexity, ume_figures
from lobster.evaluation.metrics import SmilesMetrics, internal_diversity, smiles_metrics
from lobster.evaluation.sampling import sample

__all__ = [
    "Pairs",
    "SmilesMetrics",
    "UmeFigures",
    "internal_diversity",
    "policy_perplexity",
    "sample",
    "smiles_metrics",
    "ume_figures",
]
