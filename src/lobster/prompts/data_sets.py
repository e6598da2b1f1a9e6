"""Data sets of prompts, made of what people have in hand or in files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset, DatasetDict, IterableDataset, load_dataset
from pyarrow import ArrowException

_KINDS = {"csv": "csv", "json": "json", "jsonl": "json", "parquet": "parquet", "txt": "text"}


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
    how: dict[str, Any] = _as_written(file) if kind == "csv" else {}
    dataset = load_dataset(kind, data_files=str(file), split="train", **how)
    return dataset.rename_column("text", "prompt") if kind == "text" else dataset


def _as_written(file: str | Path) -> dict[str, Any]:
    """Return how pandas reads a CSV file whose texts stay what they are: an empty one, ``NA`` and ``NAN`` are sequences."""
    try:
        columns = set(pd.read_csv(file, nrows=0))
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"data set {str(file)!r} is empty: expected a column prompt") from error
    texts = columns & {"prompt", "suffix"}
    others = {column: [""] for column in columns - texts}
    return {"converters": dict.fromkeys(texts, str), "keep_default_na": False, "na_values": others}
