"""Where policies, the causal language models that write, are found and how they are read: whole ones and LoRA adapters.

A policy on the Hub stays a Hub id: transformers' and PEFT's own loaders fetch what they need of it.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import cached_file, find_adapter_config_file

from lobster.model.checkpoints import find_model
from lobster.resume import last_checkpoint
from lobster.shipped import assets

logger = logging.getLogger(__name__)


def find_policy(name_or_path: str | Path) -> str:
    """Return a policy's folder, or its Hub id where that exists.

    Raises:
        FileNotFoundError: Nothing was found.
        ValueError: It is a file.
    """
    path = find_model(name_or_path, _on_the_hub)
    if not path.exists():
        return path.as_posix()
    if not path.is_dir():
        raise ValueError(f"{path} is a file: a policy is a folder that save_pretrained wrote")
    return str(path.resolve())  # what is saved names it, and may be read from another working directory


def _on_the_hub(name: str) -> Path:
    """Return a Hub id as it is, if it exists."""
    if find_adapter_config_file(name) is None:
        cached_file(name, "config.json")
    return Path(name)


def is_adapter(source: str) -> bool:
    """Say whether a folder or Hub id holds a LoRA (PEFT) adapter."""
    return find_adapter_config_file(source) is not None


def load_policy(name_or_path: str | Path, **loading: Any) -> tuple[Any, PreTrainedTokenizerBase]:
    """Load a policy and its tokenizer, in float32: a name that ships, a folder, a Hub id; whole, or a LoRA adapter.

    Args:
        name_or_path: Which.
        loading: For `AutoModelForCausalLM.from_pretrained`.

    Raises:
        FileNotFoundError: It, or the base of an adapter, was not found.
        ValueError: It is no causal language model, or has no tokenizer.
        ImportError: It is an adapter and `peft` is not installed.

    >>> model, tokenizer = load_policy("smiles-policy-3M")
    >>> model.dtype, tokenizer("CO").input_ids[0] == tokenizer.bos_token_id
    (torch.float32, True)
    """
    source = find_policy(name_or_path)
    if is_adapter(source):
        return load_adapter(source, **loading), load_policy_tokenizer(source)
    check_writes(read_config(source), str(name_or_path))
    tokenizer = load_policy_tokenizer(source)
    return AutoModelForCausalLM.from_pretrained(source, **({"dtype": torch.float32} | loading)), tokenizer


def policy_to_train(
    policy: str | Path | PreTrainedModel | Any,
    tokenizer: PreTrainedTokenizerBase | None,
    loading: Mapping[str, Any],
    place: Path | None = None,
    new_adapter: bool = False,
) -> tuple[Any, PreTrainedTokenizerBase]:
    """Return what TRL takes for a policy to train, and its tokenizer.

    Args:
        policy: A name that ships, a folder, a Hub id, or a model.
        tokenizer: Its tokenizer; None loads the one beside it.
        loading: How TRL is to load it, its ``model_init_kwargs``.
        place: Where a model in memory that came from nowhere is saved, for TRL loads the anchor of its KL divergence from where
            a model came from; None where it has none.
        new_adapter: Whether TRL is to put a new adapter around it.

    Raises:
        FileNotFoundError, ValueError: There is no such policy, or it is none that writes, or lacks a tokenizer, or that has no
            end token.
    """
    model, tokenizer = _policy_and_tokenizer(policy, tokenizer, loading, place, new_adapter)
    if tokenizer.eos_token_id is None:
        raise ValueError("the policy's tokenizer has no eos_token: completions would never end; set one")
    return model, tokenizer


def _policy_and_tokenizer(
    policy: Any,
    tokenizer: PreTrainedTokenizerBase | None,
    loading: Mapping[str, Any],
    place: Path | None,
    new_adapter: bool,
) -> tuple[Any, PreTrainedTokenizerBase]:
    if not isinstance(policy, (str, Path)):
        check_writes(policy.config, f"the {type(policy).__name__}")
        source = policy.config._name_or_path
        if tokenizer is None and not source:
            raise ValueError(
                "a policy passed as a model has no path to load its tokenizer from: pass processing_class="
            )
        if place and isinstance(policy, PreTrainedModel) and not Path(source or "?").is_dir():
            source = str(place)
            policy.save_pretrained(source)
            policy.config._name_or_path = source
        return policy, tokenizer or load_policy_tokenizer(source)
    source = find_policy(policy)
    if is_adapter(source):
        if new_adapter:
            raise ValueError(
                f"{policy} is a LoRA adapter, which is trained on: leave peft_config out, or merge it into its base "
                "(merge_and_unload) and pass that"
            )
        return load_adapter(source, trainable=True, **loading), tokenizer or load_policy_tokenizer(source)
    check_writes(read_config(source), str(policy))
    return source, tokenizer or load_policy_tokenizer(source)


def load_adapter(source: str, trainable: bool = False, **loading: Any) -> Any:
    """Load a LoRA adapter on its base, a `peft.PeftModel`.

    Args:
        source: Its folder or Hub id.
        trainable: Whether its weights are to be trained on.
        loading: For `AutoModelForCausalLM.from_pretrained`.

    Raises:
        ImportError: `peft` is not installed.
        FileNotFoundError, ValueError: Its base was not found, or is no causal language model.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ImportError(
            f"{source} is a LoRA adapter, which needs peft: pip install 'lobster-rl[peft]'", name="peft"
        ) from error
    base = _adapter_base(source)
    check_writes(read_config(base), base)
    model = AutoModelForCausalLM.from_pretrained(base, **({"dtype": torch.float32} | loading))
    return PeftModel.from_pretrained(model, source, is_trainable=trainable)


def _adapter_base(source: str) -> str:
    """Return the folder or Hub id of an adapter's base: as named, beside the adapter, or one that ships elsewhere."""
    file = find_adapter_config_file(source)
    named = json.loads(Path(file).read_text()).get("base_model_name_or_path") if file else None
    if not named:
        raise ValueError(f"{file} names no base_model_name_or_path: load base and adapter yourself, pass the PeftModel")
    for place in (Path(named), Path(source) / named):
        if place.is_dir():
            return str(place.resolve())
    if Path(named).parts[-3:-1] == assets().parts[-2:]:  # it ships, and was written where the library lies elsewhere
        named = Path(named).name
    try:
        return find_policy(named)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"the base of the LoRA adapter {source}: {error}") from error


def load_policy_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a policy; of an adapter saved without one, that of its base.

    Raises:
        ValueError: There is none, or it knows special tokens only.
    """
    try:
        return _read_tokenizer(source)
    except ValueError:
        if not is_adapter(source):
            raise
    return _read_tokenizer(_adapter_base(source))


def _read_tokenizer(source: str) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
    except Exception as error:  # without its files transformers ends in errors of many kinds
        why = " ".join(str(error).split())
        raise ValueError(f"{_no_tokenizer(source)} ({type(error).__name__}: {why:.300})") from error
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise ValueError(_no_tokenizer(source))
    return tokenizer


def _no_tokenizer(source: str) -> str:
    return (
        f"the policy {source} has no tokenizer that can be read: save it there with tokenizer.save_pretrained, "
        "or pass it as processing_class="
    )


def read_config(source: str) -> PreTrainedConfig:
    """Read the configuration of a whole policy.

    Raises:
        ValueError: There is none; the message names the checkpoint of a run that was not ended.
    """
    if Path(source).is_dir() and not (Path(source) / "config.json").is_file():
        try:
            instead = f"its last checkpoint is {last_checkpoint(source)}"
        except FileNotFoundError:
            instead = "expected a folder that save_pretrained wrote"
        raise ValueError(f"{source} holds no config.json and no adapter_config.json: {instead}")
    return AutoConfig.from_pretrained(source, trust_remote_code=False)


def check_writes(config: PreTrainedConfig, name: str) -> None:
    """Check that a model writes from left to right.

    Raises:
        ValueError: It is an encoder, or translates one sequence into another.
    """
    kind = type(config)
    masked = kind in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
    translates = kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING and kind not in MODEL_FOR_CAUSAL_LM_MAPPING
    if config.model_type == "ume" or masked or translates:
        what = (
            "a UME, the reward"
            if config.model_type == "ume"
            else f"of the type {config.model_type}, which cannot write"
        )
        raise ValueError(f"{name} is {what}: the policy is a causal language model, such as smiles-policy-3M")


def end_tokens(model: PreTrainedModel | Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the ids that end what a policy writes: the tokenizer's, and all of the model's generation configuration."""
    declared = model.generation_config.eos_token_id
    ids = [declared] if isinstance(declared, int) else list(declared or [])
    return list(dict.fromkeys([*([] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]), *ids]))


def warn_of_unknown(prompts: Iterable[Any], tokens: Iterable[list[int]], tokenizer: PreTrainedTokenizerBase) -> None:
    """Warn of the first of some prompts whose token ids stand for something that the tokenizer does not know."""
    unknown, others = tokenizer.unk_token_id, (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    for prompt, ids in zip(prompts, tokens, strict=True):
        if unknown in ids and unknown not in others:  # GPT-2 has one token for all
            logger.warning(
                "the policy does not know all of the prompt %r: %d of its tokens are %s, from which it has not learned to go on",
                str(prompt)[:60],
                ids.count(unknown),
                tokenizer.unk_token,
            )
            return
