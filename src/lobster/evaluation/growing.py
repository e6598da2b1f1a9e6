"""Growing and filling in by a policy that is asked, not trained: fragments at their marks, and what prompts leave out."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lobster.evaluation.sampling import sample
from lobster.prompts.fragments import MARK, open_spellings, places_to_grow
from lobster.scoring.completions import continued
from lobster.sequences.chemistry import parse_smiles


def fill_in(
    model: PreTrainedModel | Any,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, str]],
    count: int,
    seed: int = 0,
    **sampling: Any,
) -> list[str]:
    """Return prompt, completion and suffix of rows in turn, such as `linker_prompts` and `region_prompts` make.

    Args:
        model, tokenizer: The policy.
        rows: Each with a ``prompt`` and, where something stands behind, a ``suffix``.
        count: How many to write.
        seed: Of the draws.
        sampling: As of `sample`; ``max_new_tokens`` cuts what is filled in.
    """
    taken = [rows[n % len(rows)] for n in range(count)]
    prompts = [row["prompt"] for row in taken]
    written = sample(model, tokenizer, count, prompts, seed=seed, **sampling)
    return continued(prompts, written, [row.get("suffix") for row in taken])


def grow(
    model: PreTrainedModel | Any,
    tokenizer: PreTrainedTokenizerBase,
    fragment: str,
    count: int,
    seed: int = 0,
    **sampling: Any,
) -> list[str]:
    """Let a policy grow a fragment at all of its marks, one after the other in a random order.

    Where it grows one, the policy reads the others as carbons. A fragment without marks grows at an atom that has a hydrogen.

    Args:
        model, tokenizer: The policy.
        fragment: A SMILES, such as ``*c1ccc(*)nc1``.
        count: How many molecules to write.
        seed: Of the spellings and the draws.
        sampling: As of `sample`.

    Returns:
        SMILES, as they were written: not all describe a molecule, and what went wrong at one mark still has the others.

    Raises:
        ValueError: As of `growth_prompts`.
    """
    places = places_to_grow(fragment)
    texts = [places[n % len(places)] for n in range(count)]
    for turn in range(places[0].count("*")):
        begun = {}
        for n, text in enumerate(texts):
            if spellings := _open_spellings(text, seed + turn):
                begun[n] = spellings[n // len(places) % len(spellings)]
        read = [re.sub(MARK, "C", text) for text in begun.values()]
        written = sample(model, tokenizer, len(read), read, seed=seed + turn, **sampling)
        for n, rest in zip(begun, written, strict=True):
            texts[n] = begun[n] + rest
    return texts


@lru_cache(maxsize=1024)
def _open_spellings(text: str, seed: int) -> list[str]:
    mol = parse_smiles(text)
    return [] if mol is None else open_spellings(mol, seed)
