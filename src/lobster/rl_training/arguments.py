"""A run as `lobster grpo` takes it: our arguments beside all of TRL's, from YAML and flags."""

from argparse import RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer, ModelConfig, TrlParser, get_peft_config, get_quantization_config

from lobster.constants import Modality
from lobster.device import resolve_device
from lobster.model.policies import find_policy, load_policy_tokenizer
from lobster.rl_training.checks import as_dataset
from lobster.rl_training.prompts import load_prompts, parse_value, prompts_of
from lobster.rl_training.run_file import read_run
from lobster.rl_training.trainers import BETA, DEFAULTS, train_ume_grpo
from lobster.run_folder import RUN_FILE, read_description
from lobster.scoring.components import nearest, resolve_function

POLICY, OUTPUT_DIR = "smiles-policy-3M", "runs/grpo"
_NOT_GIVEN = object()
_HERE = {"model_name_or_path": POLICY, "output_dir": OUTPUT_DIR} | DEFAULTS | {"beta": BETA[Modality.SMILES]}


@dataclass
class RunArguments:
    """What a run has that TRL does not know. Where a value has parts it is YAML, on the command line too."""

    encoder: str = field(
        default="ume-mini-base-12M",
        metadata={"help": "what rewards: a name that ships, a folder, a Hub id or a .ckpt"},
    )
    modality: str | None = field(
        default=None,
        metadata={
            "help": "what the completions must be, where the data have no column modality: SMILES, amino_acid, nucleotide"
        },
    )
    device: str | None = field(default=None, metadata={"help": "cuda or cpu; CUDA where there is one"})
    train_dataset: str | None = field(
        default=None,
        metadata={
            "help": "file of prompts: csv, json, jsonl or parquet with a column prompt, or txt with a prompt a line"
        },
    )
    eval_dataset: str | None = field(default=None, metadata={"help": "likewise, to evaluate on"})
    prompts: str | None = field(
        default=None,
        metadata={"help": "list of prompts instead, each a text or a list of messages; by default one, empty"},
    )
    chat_template: str | None = field(
        default=None, metadata={"help": "Jinja template of messages, for a policy whose tokenizer has none"}
    )
    reward_temperature: str | None = field(
        default="0.1",
        metadata={"help": "what the score is divided by, lower pushes harder; a number, or one a modality"},
    )
    reward_batch_size: int = field(
        default=8, metadata={"help": "memory for scoring, in sequences of the encoder's length"}
    )
    scoring: str | None = field(
        default=None, metadata={"help": "scoring function: a YAML file, a mapping like it, or the name of a component"}
    )
    reference: str | None = field(
        default=None, metadata={"help": "file of real sequences, which say what is natural, or one a modality"}
    )
    diversity: str | None = field(
        default="true", metadata={"help": "the memory that pays less for what is not new: its arguments, true or false"}
    )
    guard: str | None = field(
        default="true", metadata={"help": "what stops a run that goes bad: its arguments, true or false"}
    )
    scoring_budget: int | None = field(
        default=None, metadata={"help": "distinct sequences that may be scored before the run ends"}
    )
    include_prompt: bool = field(default=False, metadata={"help": "the molecule is prompt and completion together"})
    smiles_options: str | None = field(
        default=None, metadata={"help": "what makes a SMILES another molecule (SmilesOptions)"}
    )
    long_sequences: str = field(
        default="refuse", metadata={"help": "windows scores what is beyond the encoder's length, refuse gives it 0"}
    )
    reward_funcs: list[str] = field(
        default_factory=list, metadata={"help": "more rewards: names of functions, such as my_module.my_reward"}
    )
    keep_completions: int = field(
        default=1_000_000, metadata={"help": "how many of the scored completions are kept in output_dir; 0 keeps none"}
    )
    html_report: bool = field(default=True, metadata={"help": "write report.html at the end"})
    resume: bool = field(default=False, metadata={"help": "go on from the last checkpoint in output_dir"})
    overwrite_output_dir: bool = field(default=False, metadata={"help": "delete the checkpoints of another run there"})


_TAKEN_OUT = ("peft_config", "processing_class")  # None of a flag is no argument
_YAML = ("prompts", "reward_temperature", "scoring", "reference", "diversity", "guard", "smiles_options")


_KINDS: Any = (RunArguments, GRPOConfig, ModelConfig)


def run_parser(prog: str, description: str, epilog: str) -> TrlParser:
    """Return the arguments of a run: ours, TRL's `GRPOConfig` and `ModelConfig`, with our defaults."""
    parser = TrlParser(
        _KINDS,
        prog=prog,
        usage=f"{prog} [--config FILE] [--name value …]",
        description=description,
        epilog=epilog,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file of arguments, or a recorded run: its run.yaml or its folder; those on the command line win",
    )
    parser.set_defaults(**_HERE)
    return parser


def parse_run(parser: TrlParser, words: Sequence[str]) -> dict[str, Any]:
    """Return the arguments that were given, in the file of ``--config`` or on the command line; the latter win.

    A file that a run has recorded is not read here: it comes back by its path, as ``config``. Wrong words end the program as
    argparse does.

    Raises:
        FileNotFoundError, ValueError: There is no such file, or it holds no arguments.
    """
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--config=") else [word])]
    if words[-1:] == ["--config"]:
        parser.error("--config needs a file")
    recorded = None
    if "--config" in words and (recorded := _recorded(words[(place := words.index("--config")) + 1])):
        del words[place : place + 2]
    names = [f.name for kind in _KINDS for f in fields(kind)]
    if not {"-h", "--help"} & {*words}:
        # No dataclass is made, and no default taken: ours, which depend on the device, are `create_ume_grpo_trainer`'s to choose.
        parser.set_defaults(**dict.fromkeys([*names, "config"], _NOT_GIVEN))
        parser.dataclass_types = []
    *found, unknown = parser.parse_args_and_config(words, return_remaining_strings=True)
    if unknown:
        parser.error(f"unknown argument {unknown[0]}: {nearest(unknown[0].lstrip('-'), names)}")
    given = {name: value for given in found for name, value in vars(given).items() if value is not _NOT_GIVEN}
    return given | ({"config": recorded} if recorded else {})


def _recorded(config: str) -> Path | None:
    """Return the file that a run has recorded, also by its folder; None where it is one of flat arguments."""
    file = Path(config)
    if file.is_dir():
        return file / RUN_FILE
    try:
        read_description(file)
    except ValueError:
        return None
    return file


def train_run(given: dict[str, Any]) -> GRPOTrainer:
    """Train as arguments say that `parse_run` returned, and save the policy in the run's folder.

    Where they are a recorded run's and changes of it, they say where to: the recorded run is not overwritten.

    Raises:
        FileNotFoundError, ValueError, TypeError, OSError, KeyboardInterrupt: As of `read_run` and `train_ume_grpo`.
    """
    given = dict(given)
    file, modality = given.pop("config", None), given.pop("modality", None)
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
    device = resolve_device(run.pop("device", None))
    return train_ume_grpo(**run, device=device, resume_from_checkpoint=resume or None)


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
        run["train_dataset"] = prompts_of(prompts, modality)
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
