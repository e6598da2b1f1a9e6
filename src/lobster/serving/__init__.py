"""A reward behind HTTP: the server that `lobster serve` starts, and the reward function that asks it."""

from lobster.serving.client import RemoteReward

__all__ = ["RemoteReward"]
