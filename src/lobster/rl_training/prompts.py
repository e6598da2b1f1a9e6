"""Prompts and settings of a run as people write them on a command line and in files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset, load_dataset

from lobster.constants import Modality

_KINDS = {"csv": "csv", "json": "json", "jsonl": "json", "parquet": "parquet", "txt": "text"}


def load_prompts(file: str | Path) -> Dataset:
    """Read a file of prompts: csv, json, jsonl or parquet with a column `prompt`, or txt with a prompt a line.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is of another kind.
    """
    if not Path(file).is_file():
        raise FileNotFoundError(f"data set {str(file)!r} does not exist")
    kind = _KINDS.get(Path(file).suffix[1:])
    if kind is None:
        raise ValueError(f"data set {str(file)!r}: expected a csv, json, jsonl, parquet or txt file")
    dataset = load_dataset(kind, data_files=str(file), split="train")
    return dataset.rename_column("text", "prompt") if kind == "text" else dataset


def prompts_of(prompts: Sequence[str | Sequence[Mapping[str, str]]], modality: Modality | str | None) -> Dataset:
    """Return prompts, plain or conversational, as a data set whose completions are of one modality.

    >>> prompts_of([""], "SMILES")[0]
    {'prompt': '', 'modality': 'SMILES'}
    """
    columns: dict[str, Any] = {"prompt": list(prompts)}
    if modality is not None:
        columns["modality"] = [Modality(modality).value] * len(prompts)
    return Dataset.from_dict(columns)


def parse_settings(words: Sequence[str]) -> dict[str, Any]:
    """Read `--name value` pairs; values are YAML, and 1e-5 is a number.

    Raises:
        ValueError: The words are no such pairs.

    >>> parse_settings(["--learning_rate", "1e-5", "--diversity", "{floor: 0.85}"])
    {'learning_rate': 1e-05, 'diversity': {'floor': 0.85}}
    """
    settings: dict[str, Any] = {}
    for name, value in zip(words[::2], words[1::2], strict=False):
        if not name.startswith("--"):
            raise ValueError(f"expected --name value, got {name!r}")
        settings[name[2:]] = parse_value(value)
    if len(words) % 2:
        raise ValueError(f"{words[-1]!r} has no value: expected --name value")
    return settings


def parse_value(text: str) -> Any:
    """Read a value written in YAML; 1e-5, which YAML 1.1 takes for text, is a number.

    Raises:
        ValueError: It is no YAML.
    """
    try:
        parsed = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{text!r} is not YAML: {' '.join(str(error).split())}") from error
    try:
        return float(parsed) if isinstance(parsed, str) else parsed
    except ValueError:
        return parsed
