"""A run and its folder: how it is described, recorded, compared, interrupted and read back. Nothing here trains."""

from lobster.runs.folder import read_best, read_completions, read_metrics

__all__ = ["read_best", "read_completions", "read_metrics"]
