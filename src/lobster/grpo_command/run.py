"""From the arguments of `lobster grpo` to a run, a new one or a recorded one that is repeated, changed or gone on with."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import ModelConfig, get_peft_config, get_quantization_config

from lobster.constants import Modality
from lobster.curriculum import train_curriculum
from lobster.device import resolve_device
from lobster.grpo_command.arguments import OUTPUT_DIR, POLICY, RunArguments
from lobster.model.policies import find_policy, load_policy_tokenizer
from lobster.prompts import as_dataset, load_prompts
from lobster.rl_training.trainers import train_ume_grpo
from lobster.runs.description import read_run
from lobster.runs.folder import STAGE, read_description
from lobster.scoring.components import resolve_function
from lobster.yaml_values import parse_value

_TAKEN_OUT = ("peft_config", "processing_class")  # None of a flag is no argument
_YAML = ("prompts", "reward_temperature", "scoring", "reference", "diversity", "guard", "smiles_options")


def train_run(given: dict[str, Any]) -> str:
    """Train as arguments say that `parse_run` returned; return the folder that the policy was saved in.

    Where they are a recorded run's and changes of it, they say where to: the recorded run is not overwritten.

    Raises:
        FileNotFoundError, ValueError, TypeError, OSError, KeyboardInterrupt: As of `read_run` and `train_ume_grpo`.
    """
    given = dict(given)
    file, modality, stages = (given.pop(name, None) for name in ("config", "modality", "stages"))
    resume = parse_value(str(given.pop("resume_from_checkpoint", None) or given.get("resume", False)))
    given.pop("resume", None)
    run: dict[str, Any] = {"output_dir": OUTPUT_DIR}
    if file is None:
        run |= _passed(given, modality, {})
    else:
        before = read_description(file)["arguments"]
        if "output_dir" not in before | given and not resume:
            raise ValueError(
                f"{file.parent} holds the run of {file.name}: say where this one goes (--output_dir), or go on with "
                "that one (--resume)"
            )
        found = {"output_dir": file.parent} | read_run(file, **_passed(given, modality, before))
        run = {name: value for name, value in found.items() if value is not None or name not in _TAKEN_OUT}
    run = {"model_path": POLICY, "ume_model_path": RunArguments.encoder} | run
    run["train_dataset"] = _with_modality(run.get("train_dataset", [""]), modality)
    run["device"] = resolve_device(run.pop("device", None))
    if stages is None:
        train_ume_grpo(**run, resume_from_checkpoint=resume or None)
        return str(run["output_dir"])
    train_curriculum([_passed(stage, modality, {}) for stage in stages], resume=bool(resume), **run)
    return str(Path(run["output_dir"]) / STAGE.format(len(stages)))


def _passed(given: dict[str, Any], modality: str | None, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of the command line as `train_ume_grpo` takes them.

    Args:
        given: Those that were given; not ``modality``.
        modality: What the completions must be.
        before: Of a recorded run, whose arguments these change.
    """
    run = given | {name: parse_value(given[name]) for name in _YAML if isinstance(given.get(name), str)}
    model = {f.name: run.pop(f.name) for f in fields(ModelConfig) if f.name in run}
    if "model_name_or_path" in model:
        run["model_path"] = model.pop("model_name_or_path")
        if "processing_class" in before:  # which was the other policy's
            run["processing_class"] = None
    if "encoder" in run:
        run["ume_model_path"] = run.pop("encoder")
    run |= _model_arguments(model, run.pop("model_init_kwargs", None), before)
    if (template := run.pop("chat_template", None)) is not None:
        policy = run.get("model_path", before.get("model_path", POLICY))
        tokenizer = load_policy_tokenizer(find_policy(policy))
        tokenizer.chat_template = template
        run["processing_class"] = tokenizer
    for name in ("train_dataset", "eval_dataset"):
        if run.get(name) is not None:
            run[name] = _with_modality(load_prompts(run[name]), modality)
    if (prompts := run.pop("prompts", None)) is not None:
        if "train_dataset" in run:
            raise ValueError("prompts and train_dataset are both given: leave one out")
        run["train_dataset"] = prompts
    if "reward_funcs" in run:
        run["reward_funcs"] = [resolve_function(name) for name in run["reward_funcs"]]
    return run


def _with_modality(data: Any, modality: str | None) -> Any:
    """Return prompts with a column that says their completions' modality, where they have none and one was given."""
    data = as_dataset(data, "train_dataset")
    if modality is None or not isinstance(data, Dataset) or "modality" in data.column_names:
        return data
    return data.add_column("modality", [Modality(modality).value] * len(data))


def _model_arguments(given: dict[str, Any], loading: Any, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what TRL's trainer takes for arguments of `ModelConfig`, those of a recorded run changed by them."""
    model: Any = ModelConfig(**given)
    names = {"model_revision": "revision", "attn_implementation": "attn_implementation", "dtype": "dtype"}
    loading = {names[name]: value for name, value in given.items() if name in names} | (
        parse_value(loading) if isinstance(loading, str) else loading or {}
    )
    parts = {
        "model_init_kwargs": (before.get("model_init_kwargs") or {}) | loading if loading else None,
        "peft_config": get_peft_config(model),
        "quantization_config": get_quantization_config(model),
    }
    found = {name: part for name, part in parts.items() if part}
    if before.get("peft_config") and "peft_config" not in found:
        if given.get("use_peft") is False:
            return found | {"peft_config": None}
        if adapter := [name for name in given if name.startswith("lora_")]:
            raise ValueError(
                f"{adapter[0]} alone does not change the adapter of a recorded run: give --use_peft and all of it"
            )
    return found
