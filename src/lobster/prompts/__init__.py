"""Prompts: data sets of what people have in hand or in files, and what would be wrong with them, said before training."""

from lobster.prompts.data_sets import as_dataset, load_prompts

__all__ = ["as_dataset", "load_prompts"]
