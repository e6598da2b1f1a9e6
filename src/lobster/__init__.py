"""Reinforcement-learning post-training for language models of molecules."""
