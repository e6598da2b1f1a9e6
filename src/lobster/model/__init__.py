"""The encoder: configuration, network, checkpoints, pseudo-likelihood, and `Ume`, their face."""

from lobster.model.checkpoints import CheckpointError
from lobster.model.configuration import UmeConfig
from lobster.model.explain import Explanation, explain
from lobster.model.network import UmeForMaskedLM
from lobster.model.ume import Ume

__all__ = ["CheckpointError", "Explanation", "Ume", "UmeConfig", "UmeForMaskedLM", "explain"]
