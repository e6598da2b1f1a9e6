"""What a run's folder holds besides its policy, by name, and how that is read."""

import json
import math
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import pandas as pd

from lobster.yaml_values import read_yaml

RUN_FILE = "run.yaml"  # everything that defines the run
METRICS_FILE = "metrics.jsonl"  # a line a logging step
COMPLETIONS = "completions"  # a folder of parquet files: every completion that was scored
BEST_FILE = "best_sequences.csv"
SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"
STAGE = "stage-{}"  # folder of a stage, which is a run of its own
STAGE_END = "memory"  # in the folder of a stage that has ended: a folder with the diversity memory that it leaves


def read_description(file: str | Path) -> dict[str, Any]:
    """Return what a run.yaml says.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is no mapping with arguments.
    """
    file = Path(file)
    found = read_yaml(file.read_bytes(), str(file))
    if not isinstance(found, dict) or not isinstance(found.get("arguments"), dict):
        raise ValueError(
            f"{file} describes no run: expected a mapping with the arguments of train_ume_grpo in 'arguments'"
        )
    return found


def stages(folder: str | Path) -> list[Path]:
    """Return the folders of a run's stages in their order, those that have begun; none of a run without stages."""
    found = (Path(folder) / STAGE.format(number) for number in count(1))
    return list(takewhile(lambda stage: (stage / METRICS_FILE).is_file(), found))


def was_stopped_by_guard(folder: str | Path) -> bool:
    """Say whether a run has ended so, by its summary."""
    file = Path(folder) / SUMMARY_FILE
    return file.is_file() and bool(json.loads(file.read_text()).get("stopped_by_guard"))


def read_metrics(folder: str | Path) -> pd.DataFrame:
    """Return the metrics of a run, a row a logging step, a column a metric; NaN where there is none.

    Raises:
        FileNotFoundError: The folder is none of a run.
        ValueError: A line cannot be read.
    """
    file = Path(folder) / METRICS_FILE
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist: expected the output_dir of a run")
    rows = []
    for number, line in enumerate(file.read_text().splitlines(keepends=True), 1):
        if not line.endswith("\n"):  # which a kill left half-written
            break
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"{file}, line {number} is no JSON ({error}): remove it") from error
    return pd.DataFrame(rows, dtype=float) if rows else pd.DataFrame({"step": []}, dtype=float)


def completion_parts(folder: str | Path) -> list[Path]:
    """Return the files that hold a run's completions, in the order in which they were written."""
    return sorted((Path(folder) / COMPLETIONS).glob("part-*.parquet"))


def read_completions(folder: str | Path) -> pd.DataFrame:
    """Return the completions of a run that were kept, a row each, in the order in which they were scored; none where none were."""
    parts = [pd.read_parquet(part) for part in completion_parts(folder)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def read_best(folder: str | Path) -> pd.DataFrame:
    """Return the best distinct sequences of a run, the best first; none where there are none."""
    file = Path(folder) / BEST_FILE
    if not file.is_file() or not file.read_text().strip():
        return pd.DataFrame()
    found = pd.read_csv(file, dtype=str, keep_default_na=False)  # a protein may be called NA
    figures = [name for name in found if name not in ("sequence", "modality")]
    return found.assign(**{name: pd.to_numeric(found[name], errors="coerce") for name in figures})


def json_line(values: dict[str, Any]) -> str:
    """Return figures as one line of JSON, null where one is not finite."""
    plain = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }
    return json.dumps(plain, default=float) + "\n"
