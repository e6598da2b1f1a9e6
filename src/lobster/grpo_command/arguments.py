"""The arguments of `lobster grpo`: ours beside all of TRL's, from YAML and flags."""

import json
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from trl import GRPOConfig, ModelConfig, TrlParser

from lobster.constants import Modality
from lobster.rl_training.trainers import BETA, DEFAULTS
from lobster.runs.folder import RUN_FILE, read_description
from lobster.scoring.components import nearest
from lobster.yaml_values import parse_value

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
    until_score: float | None = field(
        default=None, metadata={"help": "mean score that ends the run when the last steps have reached it"}
    )
    stages: str | None = field(
        default=None,
        metadata={"help": "list of stages, each with the arguments that it has for itself (a curriculum); in YAML"},
    )
    include_prompt: bool = field(
        default=False,
        metadata={"help": "the molecule is prompt and completion together, and the data's column suffix behind them"},
    )
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
    if given.get("stages") is not None:
        given["stages"] = [parse_run(parser, _words(stage)) for stage in _stages(given["stages"])]
    return given | ({"config": recorded} if recorded else {})


def _stages(given: Any) -> list[dict[str, Any]]:
    """Return the stages that YAML describes, in a file or on the command line."""
    stages = parse_value(given) if isinstance(given, str) else given
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        raise ValueError(f"stages is {stages!r:.60}: expected a list of mappings, the arguments that each stage has")
    return stages


def _words(stage: dict[str, Any]) -> list[str]:
    """Return arguments of a YAML file as the command line would have them."""
    lists = {f.name for kind in _KINDS for f in fields(kind) if "list" in str(f.type)}
    words: list[str] = []
    for name, value in stage.items():
        values = value if isinstance(value, list) and name in lists else [value]
        words += [f"--{name}", *(part if isinstance(part, str) else json.dumps(part) for part in values)]
    return words


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
