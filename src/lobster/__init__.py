"""Reinforcement-learning post-training for language models of molecules."""

__version__ = "0.1.0"
