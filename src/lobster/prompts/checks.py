"""Checks of prompts: what TRL would refuse late, or not at all, said in one line before training."""

import heapq
import logging
import math
from collections.abc import Sequence
from types import NoneType
from typing import Any

from datasets import Dataset
from torch.nn import Embedding

from lobster.constants import Modality
from lobster.model.policies import warn_of_unknown

logger = logging.getLogger(__name__)

_RESERVED_COLUMNS = ("prompts", "completions", "completion_ids", "trainer_state", "log_metric", "log_extra")
_CHECKED = 32  # prompts that are tokenised: the longest, and as many from all over the data set


def check_dataset(dataset: Any, name: str, include_prompt: bool) -> None:
    """Check the columns of a data set, or a stream, of prompts.

    Args:
        dataset: It.
        name: What it is called.
        include_prompt: Whether prompt, completion and suffix are put together.

    Raises:
        ValueError: There is no prompt, one is no text, a column is TRL's own, a modality does not exist, or a suffix is no text
            or would be left out.
    """
    columns = dataset.column_names
    if columns is None:  # a stream that does not say
        return
    if "prompt" not in columns:
        raise ValueError(f"{name} has no column 'prompt', only {columns}: rename_column the one that holds the prompts")
    if reserved := [c for c in columns if c in _RESERVED_COLUMNS]:
        raise ValueError(f"{name} has the column {reserved[0]!r}, which TRL uses itself: rename_column it")
    if "suffix" in columns and not include_prompt:
        raise ValueError(
            f"{name} has the column 'suffix', which stands behind prompt and completion: pass include_prompt=True, or "
            "rename_column it"
        )
    if isinstance(dataset, Dataset):
        if len(dataset) == 0:
            raise ValueError(f"{name} is empty: it has 0 prompts, at least 1 is needed")
        for row, prompt in enumerate(dataset["prompt"]):
            if not isinstance(prompt, (str, list)) or prompt == []:
                raise ValueError(f"{name}: the prompt of row {row} is {prompt!r:.60}: expected a text or messages")
        for row, suffix in enumerate(dataset["suffix"] if "suffix" in columns else ()):
            if not isinstance(suffix, (str, NoneType)):
                raise ValueError(f"{name}: the suffix of row {row} is {suffix!r:.60}: expected a text")
        if include_prompt:
            _warn_of_attachment_points(dataset, name)
        if "modality" in columns:
            for value in dataset.unique("modality"):
                if value is not None:
                    Modality(value)


def _warn_of_attachment_points(dataset: Dataset, name: str) -> None:
    """Warn of a SMILES that goes on or ends with an open attachment point, with which nothing is a molecule."""
    kinds = dataset["modality"] if "modality" in dataset.column_names else [None] * len(dataset)
    for column in ("prompt", "suffix"):
        for row, text in enumerate(dataset[column] if column in dataset.column_names else ()):
            if isinstance(text, str) and "*" in text and kinds[row] == Modality.SMILES:
                logger.warning(
                    "%s: the %s of row %d, %.60r, has an open attachment point (*), with which nothing is a molecule unless "
                    "smiles_options allows them: make prompts of fragments with growth_prompts or linker_prompts (lobster.prompts)",
                    *(name, column, row, text),
                )
                return


def check_prompts(dataset: Any, name: str, tokenizer: Any, model: Any, ends: Sequence[int], args: Any) -> None:
    """Check that a policy can begin from its prompts, and has room for completions: of the longest and of some others.

    It warns of a prompt that the policy does not know all of.

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
    prompts = _some_prompts(dataset)
    tokens = [_tokenize(prompt, name, tokenizer, args.chat_template_kwargs or {}) for prompt in prompts]
    warn_of_unknown(prompts, tokens, tokenizer)
    for prompt, ids in zip(prompts, tokens, strict=True):
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
