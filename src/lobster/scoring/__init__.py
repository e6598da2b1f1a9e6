"""Scores of molecules made of parts: what is natural beside real sequences, descriptors, alerts, motifs, each in [0, 1], joined into one."""

from lobster.scoring.complexity import complexity
from lobster.scoring.components import Component, ScoringError
from lobster.scoring.function import ScoringFunction, default_scoring
from lobster.scoring.reference import Reference
from lobster.scoring.scorer import Scorer
from lobster.scoring.transforms import DoubleSigmoid, Linear, Sigmoid, Step

__all__ = [
    "Component",
    "DoubleSigmoid",
    "Linear",
    "Reference",
    "Scorer",
    "ScoringError",
    "ScoringFunction",
    "Sigmoid",
    "Step",
    "complexity",
    "default_scoring",
]
