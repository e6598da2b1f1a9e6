"""A run as its folder tells it, and the figures and curves that a report shows of it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lobster.constants import Modality
from lobster.runs.folder import (
    RUN_FILE,
    SUMMARY_FILE,
    read_best,
    read_completions,
    read_description,
    read_metrics,
    stages,
)

CURVE_POINTS = 300  # of a curve; more are averaged
PHASE_ROWS = 500  # completions that stand for the beginning, and for the end
# Metrics that have a curve, in this order: the UME reward's, then TRL's.
_TITLES = {
    "reward": "reward",
    "ume_reward/pseudo_likelihood": "pseudo-likelihood",
    "ume_reward/valid": "validity",
    "ume_reward/unique": "uniqueness (of the last 512)",
    "ume_reward/novelty_weight": "novelty weight",
    "kl": "KL to the start (nats a token)",
    "completions/mean_length": "length (tokens)",
    "completions/clipped_ratio": "share cut at the greatest length",
    "reward_std": "spread of the reward",
    "entropy": "entropy (nats a token)",
}
_OURS = "ume_reward/"
_NOT_FIGURES = {"step", "prompt", "completion", "sequence", "modality", "outcome", "novelty_weight", "reward"}


@dataclass
class Run:
    """A run.

    Attributes:
        name: What it is called in the report.
        metrics: A row a logging step, a column a metric.
        completions: A row a scored completion; none where none were kept.
        best: The best distinct sequences, the best first.
        description: What its run.yaml says; empty where it has none.
        ended: Why it ended, or that it has not; None where its summary does not say.
    """

    name: str
    metrics: pd.DataFrame
    completions: pd.DataFrame
    best: pd.DataFrame
    description: dict[str, Any] = field(default_factory=dict)
    ended: str | None = None

    @classmethod
    def load(cls, folder: str | Path, name: str) -> "Run":
        """Read a run's folder.

        Raises:
            FileNotFoundError: It is none of a run.
        """
        file = Path(folder) / RUN_FILE
        description = read_description(file) if file.is_file() else {}
        summary = Path(folder) / SUMMARY_FILE
        ended = json.loads(summary.read_text()).get("ended") if summary.is_file() else "not ended"
        return cls(name, read_metrics(folder), read_completions(folder), read_best(folder), description, ended)

    def curve(self, metric: str) -> list[dict[str, Any]]:
        """Return a metric by step, as it was logged (``y``) and averaged over the steps around (``mean``)."""
        if metric not in self.metrics:
            return []
        found = self.metrics[["step", metric]].dropna()
        groups = np.arange(len(found)) * min(CURVE_POINTS, len(found)) // max(len(found), 1)
        found = found.groupby(groups).mean()
        window = max(1, len(found) // 12)
        means = found[metric].rolling(window, min_periods=1, center=True).mean()
        return [
            {"step": round(step), "y": _short(y), "mean": _short(mean), "run": self.name}
            for step, y, mean in zip(found["step"], found[metric], means, strict=True)
        ]

    @property
    def metric_titles(self) -> dict[str, str]:
        """What each metric that has a curve is called, in the order of showing."""
        ours = [m for m in self.metrics if m.startswith(_OURS) and m not in _TITLES and not m.endswith("/cached")]
        first, *rest = [name for name in _TITLES if name in self.metrics] or [""]
        parts = {name: name.removeprefix(_OURS) for name in ours}
        return {first: _TITLES[first]} | parts | {name: _TITLES[name] for name in rest} if first else parts

    @cached_property
    def phases(self) -> dict[str, pd.DataFrame]:
        """The completions of the first steps and of the last ones, by what these are called; none where none were kept."""
        if self.completions.empty:
            return {}
        steps = self.completions["step"]
        counts = steps.value_counts().sort_index()
        wanted = min(PHASE_ROWS, len(steps) // 3 + 1)
        first = counts.index[int(np.searchsorted(counts.cumsum(), wanted))]
        last = max(counts.index[::-1][int(np.searchsorted(counts[::-1].cumsum(), wanted))], first + 1)
        found = {_steps(counts.index[0], first): self.completions[steps <= first]}
        if last <= counts.index[-1]:
            found[_steps(last, counts.index[-1])] = self.completions[steps >= last]
        return found

    def figures(self) -> Iterator[tuple[str, float, float]]:
        """Give what a metric is called, and its mean over the first and the last tenth of the steps."""
        tenth = max(1, round(len(self.metrics) / 10))
        for metric, title in self.metric_titles.items():
            values = self.metrics[metric].dropna()
            if len(values):
                yield title, float(values[:tenth].mean()), float(values[-tenth:].mean())


def encoder_of(folders: Sequence[str | Path]) -> str | None:
    """Return the name of the encoder that rewarded some runs; None where they name none, or different ones."""
    files = [run / RUN_FILE for folder in folders for run in stages(folder) or [Path(folder)]]
    names = {read_description(file)["arguments"].get("ume_model_path") if file.is_file() else None for file in files}
    return names.pop() if len(names) == 1 else None


def measured(completions: pd.DataFrame) -> pd.DataFrame:
    """Return the figures of those completions that are molecules: their length, score and all of its components."""
    found = completions[completions["outcome"].isin(["scored", "repeated"])]
    columns = [name for name in found if name not in _NOT_FIGURES]
    return pd.DataFrame({"length": found["sequence"].str.len()} | {name: found[name] for name in columns})


def histogram(parts: dict[str, pd.Series], bins: int = 24) -> list[dict[str, Any]]:
    """Return how samples are distributed, in bins that are the same for all: ``low``, ``high``, ``share``, ``of``."""
    values = {name: part.dropna().to_numpy(float) for name, part in parts.items()}
    together = np.concatenate([part for part in values.values() if len(part)] or [np.zeros(0)])
    if not len(together):
        return []
    edges = np.histogram_bin_edges(together, bins)
    return [
        {"low": _short(low), "high": _short(high), "share": _short(count / len(part)), "of": name}
        for name, part in values.items()
        if len(part)
        for low, high, count in zip(edges, edges[1:], np.histogram(part, edges)[0], strict=False)
        if count
    ]


def shares(parts: dict[str, pd.Series]) -> list[dict[str, Any]]:
    """Return the share of each value in samples: ``value``, ``share``, ``of``."""
    return [
        {"value": str(value), "share": _short(share), "of": name}
        for name, part in parts.items()
        for value, share in part.value_counts(normalize=True).items()
    ]


def letters(completions: pd.DataFrame, modality: Modality) -> pd.Series:
    """Return all letters of the sequences of a modality."""
    found = completions[(completions["modality"] == modality.value) & completions["sequence"].notna()]
    return pd.Series(list("".join(found["sequence"])), dtype=object)


def _steps(first: int, last: int) -> str:
    return f"step {first}" if first == last else f"steps {first} to {last}"


def _short(value: float) -> float:
    return float(f"{value:.4g}")
