"""Encoders: what all of them can do, UME and any masked language model, networks, checkpoints, pseudo-likelihood."""

from lobster.model.checkpoints import CheckpointError
from lobster.model.configuration import UmeConfig
from lobster.model.encoder import Encoder
from lobster.model.explain import Explanation, explain
from lobster.model.loading import load_encoder
from lobster.model.masked_language_model import MaskedLanguageModel
from lobster.model.network import UmeForMaskedLM
from lobster.model.ume import Ume

__all__ = [
    "CheckpointError",
    "Encoder",
    "Explanation",
    "MaskedLanguageModel",
    "Ume",
    "UmeConfig",
    "UmeForMaskedLM",
    "explain",
    "load_encoder",
]
