"""Checks of prompts and batches: what TRL would refuse late, or not at all, said in one line before training."""

import heapq
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from datasets import Dataset, DatasetDict, IterableDataset
from pyarrow import ArrowException
from torch.nn import Embedding
from trl import GRPOConfig

from lobster.constants import Modality

_RESERVED_COLUMNS = ("prompts", "completions", "completion_ids", "trainer_state", "log_metric", "log_extra")
_CHECKED = 32  # prompts that are tokenised: the longest, and as many from all over the data set


def as_dataset(prompts: Any, name: str) -> Dataset | IterableDataset:
    """Return prompts as a data set.

    Args:
        prompts: A data set or a stream; a pandas DataFrame or columns by name; a Series or list of prompts; or a list of
            rows, each a mapping.
        name: What it is called in errors.

    Raises:
        TypeError: It is something else.

    >>> as_dataset(["C", "CC"], "train_dataset")["prompt"][:]
    ['C', 'CC']
    """
    try:
        match prompts:
            case Dataset() | IterableDataset():
                return prompts
            case DatasetDict():
                raise TypeError(
                    f"{name} is a DatasetDict: pass one of its splits, such as [{next(iter(prompts), '')!r}]"
                )
            case pd.DataFrame():
                return Dataset.from_pandas(prompts, preserve_index=False)
            case Mapping():
                return Dataset.from_dict({str(column): list(values) for column, values in prompts.items()})
            case list() | tuple() | pd.Series():
                rows = list(prompts)
                if rows and all(isinstance(row, Mapping) for row in rows):
                    return Dataset.from_list([dict(row) for row in rows])
                return Dataset.from_dict({"prompt": rows})
    except ArrowException as error:  # values of several types in one column
        raise TypeError(
            f"{name} cannot become columns ({error}): every prompt is a text, or a list of messages"
        ) from error
    raise TypeError(
        f"{name} is {prompts!r:.60}: expected a datasets.Dataset, a pandas DataFrame, or a list of prompts or rows"
    )


def check_dataset(dataset: Any, name: str) -> None:
    """Check the columns of a data set, or a stream, of prompts.

    Raises:
        ValueError: There is no prompt, one is no text, a column is TRL's own, or a modality does not exist.
    """
    columns = dataset.column_names
    if columns is None:  # a stream that does not say
        return
    if "prompt" not in columns:
        raise ValueError(f"{name} has no column 'prompt', only {columns}: rename_column the one that holds the prompts")
    if reserved := [c for c in columns if c in _RESERVED_COLUMNS]:
        raise ValueError(f"{name} has the column {reserved[0]!r}, which TRL uses itself: rename_column it")
    if isinstance(dataset, Dataset):
        if len(dataset) == 0:
            raise ValueError(f"{name} is empty: it has 0 prompts, at least 1 is needed")
        for row, prompt in enumerate(dataset["prompt"]):
            if not isinstance(prompt, (str, list)) or prompt == []:
                raise ValueError(f"{name}: the prompt of row {row} is {prompt!r:.60}: expected a text or messages")
        if "modality" in columns:
            for value in dataset.unique("modality"):
                if value is not None:
                    Modality(value)


def check_batches(settings: dict[str, Any], dataset: Any) -> None:
    """Check that a generation batch divides into groups, and that there are prompts for it.

    Args:
        settings: Arguments of `trl.GRPOConfig`; what is left out has TRL's default.
        dataset: The prompts.

    Raises:
        ValueError: TRL would refuse the sizes, or silently end training; the message says which would do.
    """
    fields = GRPOConfig.__dataclass_fields__
    per_device, generations, accumulation, steps = (
        settings.get(name, fields[name].default)
        for name in (
            "per_device_train_batch_size",
            "num_generations",
            "gradient_accumulation_steps",
            "steps_per_generation",
        )
    )
    if generations < 2:
        raise ValueError(f"num_generations is {generations}: GRPO compares completions, it needs at least 2")
    world = int(os.environ.get("WORLD_SIZE", 1))
    batch = settings.get("generation_batch_size") or per_device * world * (steps or accumulation)
    if batch % generations:
        below, above = batch // generations * generations, -(-batch // generations) * generations
        near = [d for d in range(2, batch + 1) if batch % d == 0]
        fitting = min(near, key=lambda d: abs(d - generations)) if near else None
        sizes = " or ".join(str(size) for size in (below, above) if size)
        raise ValueError(
            f"a generation batch of {batch} completions (per_device_train_batch_size × processes × "
            f"gradient_accumulation_steps) does not divide into groups of num_generations={generations}: make the "
            f"batch {sizes}" + (f", or num_generations {fitting}" if fitting else "")
        )
    needed = batch // generations
    if isinstance(dataset, Dataset) and len(dataset) < needed:
        raise ValueError(
            f"train_dataset has {len(dataset)} prompts, a generation batch of {batch} with "
            f"num_generations={generations} needs {needed}: raise num_generations to {math.ceil(batch / len(dataset))} "
            "or repeat the prompts"
        )


def check_prompts(dataset: Any, name: str, tokenizer: Any, model: Any, ends: Sequence[int], args: Any) -> None:
    """Check that a policy can begin from its prompts, and has room for completions: of the longest and of some others.

    Args:
        dataset: The prompts.
        name: What it is called.
        tokenizer: The policy's.
        model: The policy.
        ends: The tokens that end a completion.
        args: TRL's, a `GRPOConfig`.

    Raises:
        ValueError: A prompt becomes no token, or one that the policy does not know, ends with an end token, or leaves no
            room; or messages have no chat template.
    """
    for prompt in _some_prompts(dataset):
        ids = _tokenize(prompt, name, tokenizer, args.chat_template_kwargs or {})
        shown = f"{name}: the prompt {str(prompt)[:40]!r}"
        if not ids:
            raise ValueError(
                f"{shown} becomes no token, for the policy's tokenizer adds no <bos>: prompt with its first"
            )
        if ids[-1] in ends and not _begins_with_its_end(prompt, tokenizer):
            raise ValueError(
                f"{shown} ends with the end token {tokenizer.convert_ids_to_tokens(ids[-1])!r}, behind which nothing was "
                f"ever written: {_how_not_to_end(prompt)}"
            )
        if max(ids) >= (known := model.get_input_embeddings().num_embeddings):
            raise ValueError(
                f"{shown} has the token {max(ids)}, the policy knows {known}: it is another one's tokenizer"
            )
        room, asked = _positions(model) - len(ids), args.max_completion_length or 0
        if asked > room:
            raise ValueError(
                f"{shown} has {len(ids)} tokens, with max_completion_length={asked} more than the policy's "
                f"{_positions(model)} positions: shorten the prompts or set max_completion_length={max(room, 0)}"
            )


def _some_prompts(dataset: Any) -> list[Any]:
    """Return the longest prompts of a data set and some from all over it; of a stream, the first."""
    if not isinstance(dataset, Dataset):
        return [row["prompt"] for row in dataset.take(_CHECKED)]
    prompts = dataset["prompt"][:]
    longest = heapq.nlargest(_CHECKED, prompts, key=lambda prompt: len(str(prompt)))
    return longest + prompts[:: max(1, len(prompts) // _CHECKED)] + ([""] if "" in prompts else [])


def _tokenize(prompt: Any, name: str, tokenizer: Any, template: dict[str, Any]) -> list[int]:
    """Return the token ids of a prompt, as TRL makes them."""
    if isinstance(prompt, str):
        return tokenizer(text=prompt)["input_ids"]
    if not tokenizer.chat_template:
        raise ValueError(
            f"{name} has messages for prompts and the policy's tokenizer no chat_template: prompt with text"
        )
    return tokenizer.apply_chat_template(
        prompt, add_generation_prompt=True, tokenize=True, return_dict=True, **template
    )["input_ids"]


def _begins_with_its_end(prompt: Any, tokenizer: Any) -> bool:
    """Say whether the end token before a completion is what it begins with: GPT-2 has one token for both."""
    if tokenizer.bos_token_id != tokenizer.eos_token_id or not isinstance(prompt, str):
        return False
    written = tokenizer(text=prompt, add_special_tokens=False)["input_ids"]
    return not written or written[-1] == tokenizer.eos_token_id


def _how_not_to_end(prompt: Any) -> str:
    if isinstance(prompt, str):
        return "set tokenizer.add_eos_token = False, or give it a post-processor that adds none, and pass processing_class="
    return "give the tokenizer a chat_template with {% if add_generation_prompt %}, and pass processing_class="


def _positions(model: Any) -> float:
    """Return how many positions a policy has embeddings of (GPT-2, OPT); infinite where it computes them."""
    most = getattr(model.config, "max_position_embeddings", None) or math.inf
    tables = (m for m in model.modules() if isinstance(m, Embedding) and m is not model.get_input_embeddings())
    return most if any(0 <= table.num_embeddings - most <= 2 for table in tables) else math.inf
