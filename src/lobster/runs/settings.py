"""What defines a run: written into its checkpoints, and compared where one is resumed."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel, TrainingArguments

from lobster.resume import SETTINGS_FILE, differences

if TYPE_CHECKING:
    from lobster.rl_training.trl_reward import UmeReward

logger = logging.getLogger(__name__)

# What a run is shown, saved, measured and executed with changes nothing of what it learns.
_INCIDENTAL = (
    *("output_dir", "run_name", "project", "hub", "push", "trackio", "log", "num_completions_to_print", "report_to"),
    *("disable_tqdm", "save", "eval", "do_", "per_device_eval", "num_generations_eval", "load_best", "metric_for"),
    *("greater", "dataloader", "ddp", "torch_", "resume", "restore", "skip_memory", "debug", "local_rank", "use_cpu"),
    *("vllm_server", "include_", "prediction_loss_only", "batch_eval", "bf16_full", "fp16_full", "activation_"),
    *("gradient_checkpointing", "auto_find", "enable_jit", "cache_implementation", "ignore_data_skip", "label_names"),
)


def run_settings(
    args: TrainingArguments, reward: "UmeReward", others: list[str], prompts: int | None
) -> dict[str, Any]:
    """Return what defines a run, flat: numbers, texts and lists by name.

    Args:
        args: Of the trainer.
        reward: The UME reward.
        others: Names of the other rewards.
        prompts: How many there are; None of a stream.
    """
    function, memory = reward.reward_function, reward.diversity
    config = function.encoder.model.config
    settings = {name: value for name, value in args.to_dict().items() if not name.startswith(_INCIDENTAL)}
    settings |= {
        "reward_temperature": function.temperature,
        "include_prompt": reward.include_prompt,
        "ume": f"{Path(config.name_or_path).name} {function.encoder.model.num_parameters():,}".strip(),
        "reward_funcs": others,
        "prompts": prompts,
        "diversity": memory is not None,
        "scoring.combine": function.scoring.combine,
    }
    for component in function.scoring.components:
        kind = component.kind if isinstance(component.kind, str) else getattr(component.kind, "__name__", "function")
        shown = [kind, f"{component.weight:g}", component.role, component.transform, component.parameters]
        settings[f"scoring.{component.name}"] = " ".join(str(part) for part in shown if part)
    for name, value in vars(memory).items() if memory is not None else ():
        if not name.startswith("_") and name != "begin_with":  # which the checkpoint's own memory has in it
            settings[f"diversity.{name}"] = value
    return json.loads(json.dumps(settings, default=str))


def save_settings(folder: Path, settings: dict[str, Any], model: PreTrainedModel | Any) -> None:
    """Write a run's settings into a checkpoint."""
    (folder / SETTINGS_FILE).write_text(json.dumps(settings | {"policy": _size(model)}, indent=1) + "\n")


def compare_settings(checkpoint: Path, settings: dict[str, Any], model: PreTrainedModel | Any, say: bool) -> None:
    """Say in one line what a run does otherwise than the one that wrote the checkpoint which it goes on from.

    Args:
        checkpoint: Its folder.
        settings: Of the run that goes on.
        model: Its policy.
        say: Whether this process speaks.

    Raises:
        ValueError: The checkpoint is of another policy.
    """
    then = json.loads((checkpoint / SETTINGS_FILE).read_text())
    if (policy := then.pop("policy")) != _size(model):
        raise ValueError(
            f"{checkpoint} holds a policy of {policy}, this run's is {_size(model)}: resume with the former"
        )
    if say and (changed := differences(then, settings)):
        logger.warning("resumed from %s with other settings: %s", checkpoint, ", ".join(changed))


def _size(model: PreTrainedModel | Any) -> str:
    """Say what a policy is: its type and how many parameters it trains."""
    # DeepSpeed's ZeRO-3 leaves parameters empty between uses, and notes their size
    trained = sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters() if p.requires_grad)
    return f"{model.config.model_type} with {trained:,} trained parameters"
