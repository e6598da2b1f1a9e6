"""Prompts: data sets of what people have in hand or in files, what would be wrong with them, and parts to grow or fill in."""

from lobster.prompts.data_sets import as_dataset, load_prompts
from lobster.prompts.fragments import growth_prompts, linker_prompts, region_prompts

__all__ = ["as_dataset", "growth_prompts", "linker_prompts", "load_prompts", "region_prompts"]
