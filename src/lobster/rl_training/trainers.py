"""GRPO with a UME reward, on top of TRL's `GRPOTrainer`.

How the set-up differs from TRL's defaults, and why (measurements: `docs/reward_shaping.md`):

1. ``scale_rewards="none"``: with rewards scaled within a group, a constant factor cancels and the reward temperature would
   mean nothing.
2. ``beta`` is 0.5, and 4 where the data set's column `modality` has proteins or nucleotides, whose composition the same pull moves
   further: the policy is anchored to where it started; without an anchor a likelihood reward ends in one molecule.
3. What is no longer new pays less (`DiversityMemory`): each molecule pays once, and less as more like it come;
   ``diversity=False`` turns that off.
4. A run that goes bad is stopped, and its best policy brought back (`RunGuard`); ``guard=False`` turns that off.
5. ``mask_truncated_completions=True``: any prefix of a protein is a protein, and where cut ones were paid for, eight of ten
   completions ended up cut. Not where the data set has a column `suffix`: what is filled in before it ends there.
6. A failure weighs no more than three spreads (`without_outliers`), and ``max_grad_norm=0.15``: a batch with one failure would
   have several times the gradient of one without.
7. ``disable_dropout=True``: TRL generates in training mode.
8. Without a GPU: ``use_cpu=True``, ``bf16=False`` and no activation checkpointing (bfloat16 ran 100 times slower than
   float32 on a CPU, and there is no memory to save).

Whatever is passed wins. The optimum of this objective is policy₀ · exp(score / (temperature · beta)): a lower
temperature pulls harder towards what the encoder likes, a higher beta back to where the policy started.
"""

import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from datasets import Dataset
from transformers import PreTrainedModel
from trl import GRPOConfig, GRPOTrainer

from lobster.constants import LongSequences, Modality
from lobster.device import resolve_device
from lobster.model import Encoder, load_encoder
from lobster.model.policies import policy_to_train
from lobster.prompts.checks import check_dataset, check_prompts
from lobster.prompts.data_sets import as_dataset
from lobster.quiet import quiet_libraries
from lobster.resume import check_output_dir, checkpoint_to_resume, told_when_full
from lobster.rl_training.batches import check_batches, check_bounds
from lobster.rl_training.checked_rewards import checked
from lobster.rl_training.diversity import DiversityMemory
from lobster.rl_training.grpo_trainer import UmeGRPOTrainer
from lobster.rl_training.guards import RunGuard, ScoreReached, ScoringBudget
from lobster.rl_training.reward_functions import References, Scoring, Temperature, create_ume_reward_wrapper
from lobster.runs.recording import RunRecorder
from lobster.scoring.components import nearest
from lobster.sequences import SmilesOptions

logger = logging.getLogger(__name__)

Part = TypeVar("Part")

DEFAULTS: dict[str, Any] = {
    "scale_rewards": "none",
    "max_grad_norm": 0.15,
    "mask_truncated_completions": True,
    "disable_dropout": True,
}
BETA = {Modality.SMILES: 0.5, Modality.AMINO_ACID: 4.0, Modality.NUCLEOTIDE: 4.0}

_CONFIG_FIELDS = frozenset(inspect.signature(GRPOConfig).parameters)
_NAMES = "activation_checkpointing", "gradient_checkpointing"  # the latter alone until transformers 5.22
_CHECKPOINTING = next(name for name in _NAMES if name in _CONFIG_FIELDS)
CPU_DEFAULTS: dict[str, Any] = {"use_cpu": True, "bf16": False, _CHECKPOINTING: False}
_TRAINER_FIELDS = frozenset(inspect.signature(GRPOTrainer).parameters) - {
    "model",
    "args",
    "train_dataset",
    "eval_dataset",
}


@quiet_libraries()
def create_ume_grpo_trainer(
    model_path: str | Path | PreTrainedModel,
    ume_model: Encoder,
    train_dataset: Any,
    eval_dataset: Any = None,
    output_dir: str | Path = "runs/ume_grpo",
    reward_temperature: Temperature = 0.1,
    reward_batch_size: int = 8,
    scoring: Scoring | None = None,
    diversity: DiversityMemory | Mapping[str, Any] | bool = True,
    guard: RunGuard | Mapping[str, Any] | bool = True,
    scoring_budget: int | None = None,
    until_score: float | None = None,
    include_prompt: bool = False,
    smiles_options: SmilesOptions | Mapping[str, bool] | None = None,
    long_sequences: LongSequences = "refuse",
    reference: References | None = None,
    reward_funcs: Any = None,
    batch_size: int | None = None,
    keep_completions: int = 1_000_000,
    overwrite_output_dir: bool = False,
    **grpo: Any,
) -> UmeGRPOTrainer:
    """Build a `trl.GRPOTrainer` that rewards a policy for what a UME, or another encoder, finds natural.

    Args:
        model_path: The policy: a name that ships (`smiles-policy-3M`), a folder, a Hub id, or a model. A LoRA adapter, or a
            PEFT model, is trained on.
        ume_model: The encoder (`load_encoder`).
        train_dataset: Prompts in a column `prompt`; a column `modality` says what each completion must be. A data set, a
            stream, a pandas DataFrame, or a list or Series of prompts. A lone prompt begins all that is written.
        eval_dataset: Prompts to evaluate on; or several such by name.
        output_dir: Where checkpoints and the policy go. It must not hold another run.
        reward_temperature: What the score is divided by; lower pushes harder. One number, or a mapping with one for
            each modality.
        reward_batch_size: Memory for scoring, in sequences of the encoder's `max_length`.
        scoring: What makes a score of a completion: a `ScoringFunction`, a mapping or YAML file that describes one; by default
            how natural it is beside real sequences.
        diversity: The memory that pays less for what is no longer new, or its arguments; False pays always the same.
        guard: What stops a run that goes bad, or its arguments; False lets it run.
        scoring_budget: Distinct sequences that may be scored before the run ends.
        until_score: The mean score, in (0, 1], that ends the run when the last steps have reached it (`ScoreReached`).
        include_prompt: Whether the molecule is prompt and completion together, and what the data set's column `suffix` has
            behind them: the policy fills in what is between.
        smiles_options: What makes a SMILES another molecule, or one at all; see `SmilesOptions`.
        long_sequences: ``"windows"`` scores proteins and genes beyond the encoder's `max_length`, ``"refuse"`` gives them 0.
        reference: Real sequences, which say what is natural: a FASTA or SMILES file, or one for each modality; by default the
            encoder's own.
        reward_funcs: More rewards, one or a list; ``reward_weights`` weighs them, the UME's first.
        batch_size: Another name for ``per_device_train_batch_size``.
        keep_completions: How many of the scored completions are kept in the run's folder; 0 keeps none.
        overwrite_output_dir: Whether the checkpoints of another run in ``output_dir`` are deleted when training begins.
        grpo: Any parameter of `trl.GRPOConfig` or `trl.GRPOTrainer` (`callbacks`, `peft_config`, `processing_class`, …).

    Returns:
        The trainer, a `trl.GRPOTrainer`: `trainer.ume_reward` has the diversity memory and the top sequences.

    Raises:
        TypeError: A keyword is unknown, or a data set is none.
        ValueError: The policy, the prompts or the batch sizes do not fit; the message says what to change.
        FileNotFoundError: The policy was not found.
        ImportError: The policy is a LoRA adapter and `peft` is not installed.
    """
    if batch_size is not None:
        if "per_device_train_batch_size" in grpo:
            raise TypeError("batch_size and per_device_train_batch_size are the same thing: pass one of them")
        grpo["per_device_train_batch_size"] = batch_size
    check_keywords(grpo)
    if "gradient_checkpointing" in grpo:
        grpo.setdefault(_CHECKPOINTING, grpo.pop("gradient_checkpointing"))
    given = {name: grpo.pop(name) for name in list(grpo) if name in _TRAINER_FIELDS}
    extras = dict(given)
    on_cpu = grpo.get("use_cpu", not torch.cuda.is_available())
    train_dataset = as_dataset(train_dataset, "train_dataset")
    whole_if_cut = {"mask_truncated_completions": False} if "suffix" in (train_dataset.column_names or ()) else {}
    settings = DEFAULTS | whole_if_cut | (CPU_DEFAULTS if on_cpu else {}) | grpo
    data = {"train_dataset": train_dataset}
    if eval_dataset is not None:
        several = isinstance(eval_dataset, Mapping) and "prompt" not in eval_dataset
        parts = eval_dataset if several else {"": eval_dataset}
        parts = {name: as_dataset(part, "eval_dataset") for name, part in parts.items()}
        data |= {f"eval_dataset {name}".strip(): part for name, part in parts.items()}
        eval_dataset = parts if several else parts[""]
        group = settings.get("num_generations_eval") or settings.get("num_generations", GRPOConfig.num_generations)
        settings.setdefault("per_device_eval_batch_size", group)  # whole groups, whatever their size
    for name, part in data.items():
        check_dataset(part, name, include_prompt)
    check_bounds(settings)
    prompts = check_batches(settings, train_dataset)
    settings.setdefault("beta", _beta(train_dataset))
    args: Any = GRPOConfig(output_dir=str(output_dir), **settings)
    model, tokenizer = policy_to_train(
        model_path,
        extras.pop("processing_class", None),
        loading=args.model_init_kwargs or {},
        place=Path(output_dir) / "start" if args.beta else None,
        new_adapter="peft_config" in extras,
    )
    memory = chosen(diversity, DiversityMemory, "diversity")
    watch = chosen(guard, RunGuard, "guard")
    reward = create_ume_reward_wrapper(
        ume_model,
        reward_temperature,
        reward_batch_size,
        include_prompt,
        memory,
        scoring,
        smiles_options=smiles_options,
        long_sequences=long_sequences,
        reference=reference,
    )
    callbacks = list(extras.pop("callbacks", None) or [])
    if watch is not None:
        callbacks.append(watch)
    if scoring_budget is not None:
        callbacks.append(ScoringBudget(reward.top_sequences, scoring_budget))
    if until_score is not None:
        callbacks.append(ScoreReached(until_score))
    several_rewards = isinstance(reward_funcs, (list, tuple))
    others = reward_funcs if several_rewards else [] if reward_funcs is None else [reward_funcs]
    if (weights := settings.get("reward_weights")) and len(weights) != 1 + len(others):
        raise ValueError(
            f"reward_weights has {len(weights)} weights for {1 + len(others)} rewards: expected the UME's first, then one for "
            "each of reward_funcs"
        )
    arguments = {
        "model_path": model_path,
        "ume_model_path": ume_model,
        "train_dataset": train_dataset,
        "eval_dataset": eval_dataset,
        "device": ume_model.device.type,
        "reward_temperature": reward_temperature,
        "reward_batch_size": reward_batch_size,
        "scoring": reward.reward_function.scoring,
        "diversity": _arguments_of(memory, DiversityMemory),
        "guard": _arguments_of(watch, RunGuard),
        "scoring_budget": scoring_budget,
        "until_score": until_score,
        "include_prompt": include_prompt,
        "smiles_options": reward.reward_function.smiles_options,
        "long_sequences": long_sequences,
        "reference": reference,
        "reward_funcs": list(others),
        "keep_completions": keep_completions,
    }
    arguments |= _changed(settings) | given
    if arguments["device"] == "cpu":
        arguments.pop("use_cpu", None)  # which the device says
    trainer = UmeGRPOTrainer(
        model=model,
        reward_funcs=[reward, *map(checked, others)],
        args=args,
        train_dataset=prompts,
        eval_dataset=eval_dataset,
        processing_class=tokenizer,
        callbacks=callbacks,
        ume_reward=reward,
        recorder=RunRecorder(reward, arguments, keep_completions),
        overwrite_output_dir=overwrite_output_dir,
        **extras,
    )
    for name, part in data.items():
        check_prompts(part, name, tokenizer, trainer.model, trainer.eos_token_ids, args)
    return trainer


@quiet_libraries()
def train_ume_grpo(
    model_path: str | Path | PreTrainedModel,
    ume_model_path: str | Path | Encoder,
    train_dataset: Any,
    eval_dataset: Any = None,
    output_dir: str | Path = "runs/ume_grpo",
    device: str | torch.device = "cuda",
    resume_from_checkpoint: str | bool | None = None,
    html_report: bool = True,
    **trainer: Any,
) -> UmeGRPOTrainer:
    """Load a UME, reinforce a policy with it, and save the policy in ``output_dir``; a live view shows how it goes (`LiveView`).

    Args:
        model_path: The policy, as in `create_ume_grpo_trainer`.
        ume_model_path: The UME or other encoder: a name, folder or Hub id, as in `load_encoder`; or one that is loaded.
        train_dataset: Prompts, as in `create_ume_grpo_trainer`.
        eval_dataset: Prompts to evaluate on.
        output_dir: Where checkpoints and the policy go. It must not hold another run.
        device: Where to train and score. Without CUDA, `"cuda"` warns once and means the CPU.
        resume_from_checkpoint: A checkpoint's folder, or True for the last one in ``output_dir``.
        html_report: Whether ``report.html`` is written at the end, Ctrl-C's among them (`lobster.report.write_html_report`).
        trainer: Everything else that `create_ume_grpo_trainer` takes.

    Returns:
        The trainer after training; `trainer.report()` shows the run in a notebook.

    Raises:
        FileNotFoundError, ValueError, TypeError: As `load_encoder` and `create_ume_grpo_trainer`.
        FileExistsError, OSError, KeyboardInterrupt: As `UmeGRPOTrainer.train`.
    """
    start = checkpoint_to_resume(output_dir, resume_from_checkpoint)
    check_output_dir(output_dir, start, trainer.get("overwrite_output_dir", False))
    built = prepare_ume_grpo(
        model_path, ume_model_path, train_dataset, eval_dataset, output_dir=output_dir, device=device, **trainer
    )
    train_in_view(built, resume_from_checkpoint, html_report)
    with told_when_full(output_dir):
        built.save_model(str(output_dir))
        built.create_model_card()
        if html_report:
            _write_html_report(built)
    return built


def prepare_ume_grpo(
    model_path: str | Path | PreTrainedModel,
    ume_model_path: str | Path | Encoder,
    train_dataset: Any,
    eval_dataset: Any = None,
    device: str | torch.device = "cuda",
    **trainer: Any,
) -> UmeGRPOTrainer:
    """Load what `train_ume_grpo` trains with, and return the trainer; the arguments are its own."""
    resolved = resolve_device(device)
    if resolved.type == "cpu":
        trainer.setdefault("use_cpu", True)
    train_dataset = as_dataset(train_dataset, "train_dataset")
    if isinstance(ume_model_path, Encoder):
        ume = ume_model_path
    else:  # one whose vocabulary could write several modalities reads that of the completions
        asked = _modalities(train_dataset)
        ume = load_encoder(ume_model_path, asked[0] if len(asked) == 1 else None, resolved)
    return create_ume_grpo_trainer(model_path, ume.to(resolved), train_dataset, eval_dataset, **trainer)


def train_in_view(
    trainer: UmeGRPOTrainer, resume_from_checkpoint: str | bool | None = None, html_report: bool = True
) -> None:
    """Train, and show how it goes (`LiveView`); where Ctrl-C ends it, ``report.html`` is written all the same.

    Args:
        trainer: What trains.
        resume_from_checkpoint: As of `UmeGRPOTrainer.train`.
        html_report: Whether a report is written after Ctrl-C.

    Raises:
        FileExistsError, FileNotFoundError, ValueError, OSError, KeyboardInterrupt: As of `UmeGRPOTrainer.train`.
    """
    from lobster.report import live_view

    try:
        with live_view(trainer):
            trainer.train(resume_from_checkpoint=resume_from_checkpoint)
    except KeyboardInterrupt:
        if html_report and trainer.was_interrupted:
            with suppress(KeyboardInterrupt):  # what is said in the end is how to resume
                _write_html_report(trainer)
            trainer.accelerator.wait_for_everyone()
        raise


def _write_html_report(trainer: UmeGRPOTrainer) -> None:
    from lobster.report import can_write_html_report

    if not trainer.is_world_process_zero():
        return
    if can_write_html_report():
        trainer.report()
    else:
        logger.warning("no report.html was written: pip install 'lobster-rl[report]', then `trainer.report()`")


def check_keywords(grpo: Mapping[str, Any]) -> None:
    """Check that `create_ume_grpo_trainer` knows every keyword.

    Raises:
        TypeError: It does not know one; the message names the nearest.
    """
    known = _CONFIG_FIELDS | _TRAINER_FIELDS | frozenset(inspect.signature(create_ume_grpo_trainer).parameters)
    for name in grpo.keys() - known:
        raise TypeError(f"unknown parameter {name!r}: {nearest(name, known)}")


def _modalities(dataset: Any) -> list[Modality]:
    """Return the modalities that prompts ask for; none where they do not say."""
    says = isinstance(dataset, Dataset) and "modality" in dataset.column_names
    return [Modality(name) for name in dataset.unique("modality") if name] if says else []


def _beta(dataset: Any) -> float:
    """Return the greatest `BETA` of the modalities that prompts ask for; where they do not say, that of SMILES."""
    return max((BETA[modality] for modality in _modalities(dataset)), default=BETA[Modality.SMILES])


def chosen(choice: Any, make: type[Part], name: str) -> Part | None:
    """Return what was passed, or made of the arguments that were passed; the default one for True, None for False.

    Raises:
        TypeError: It is nothing of these, or has an argument that is unknown.
    """
    if choice is False or choice is None:
        return None
    if isinstance(choice, make):
        return choice
    if choice is not True and not isinstance(choice, Mapping):
        raise TypeError(f"{name} is {choice!r:.60}: expected True, False, a {make.__name__} or its arguments")
    arguments = {} if choice is True else dict(choice)
    known = inspect.signature(make).parameters
    for key in arguments.keys() - known.keys():
        raise TypeError(f"{name}: key {key!r} is unknown: {nearest(str(key), known)}")
    return make(**arguments)


def _arguments_of(part: Any, kind: Callable[..., Any]) -> Any:
    """Return what a part was made with; one of another class as it is, False for none."""
    if type(part) is not kind:
        return False if part is None else part
    return {name: getattr(part, name) for name in inspect.signature(kind).parameters}


def _changed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `trl.GRPOConfig` that differ from its defaults, and the seed."""
    defaults = {
        field.name: field.default if field.default_factory is MISSING else field.default_factory()
        for field in fields(GRPOConfig)
    }
    return {"seed": defaults["seed"]} | {name: value for name, value in given.items() if value != defaults[name]}
