"""A policy before and after: samples, their scores, and the files that show them."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from lobster.constants import Modality
from lobster.evaluation import SmilesMetrics, smiles_metrics
from lobster.report.sequence_views import can_draw, molecule_grid
from lobster.runs.folder import SUMMARY_FILE
from lobster.scoring import Scorer
from lobster.scoring.completions import Outcome, Scored

_ROWS = {
    "validity": ("validity", "{:.1%}"),
    "uniqueness": ("uniqueness", "{:.1%}"),
    "internal_diversity": ("internal diversity", "{:.3f}"),
    "scaffold_diversity": ("scaffold diversity", "{:.3f}"),
    "qed": ("mean QED", "{:.3f}"),
    "pseudo_likelihood": ("mean pseudo-likelihood", "{:.3f}"),
    "mean_length": ("mean length", "{:.1f}"),
}


@dataclass(frozen=True)
class Samples:
    """SMILES from a policy with what a UME makes of them.

    Attributes:
        smiles: What the policy wrote.
        scored: The canonical form, pseudo-likelihood and score of each, or why it has none.
    """

    smiles: list[str]
    scored: list[Scored]

    @property
    def pseudo_likelihood(self) -> float:
        """Mean pseudo-likelihood of the valid samples; NaN where none is."""
        values = [s.pseudo_likelihood for s in self.scored if s.outcome is Outcome.SCORED]
        return float(np.mean(values)) if values else np.nan

    @property
    def metrics(self) -> SmilesMetrics:
        """What `smiles_metrics` says of them."""
        return smiles_metrics(self.smiles)

    def summary(self) -> dict[str, float | None]:
        """Return all figures by name; None where there is none (the mean score of no valid sample)."""
        figures = asdict(self.metrics) | {"pseudo_likelihood": self.pseudo_likelihood}
        return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def score_samples(smiles: Sequence[str], scorer: Scorer) -> Samples:
    """Score SMILES with what a scorer makes of them."""
    return Samples(list(smiles), scorer.score(smiles, [Modality.SMILES] * len(smiles)))


def comparison_table(before: dict[str, float | None], after: dict[str, float | None]) -> str:
    """Return the table of two summaries as text.

    >>> one = {"count": 2, "validity": 0.5, "uniqueness": 1.0, "internal_diversity": 0.8, "scaffold_diversity": 0.5,
    ...        "qed": 0.6, "pseudo_likelihood": 0.25, "mean_length": 40.0}
    >>> print(comparison_table(one, one | {"validity": 1.0}))
                               before     after    change
    validity                    50.0%    100.0%   +100.0%
    uniqueness                 100.0%    100.0%     +0.0%
    internal diversity          0.800     0.800     +0.0%
    scaffold diversity          0.500     0.500     +0.0%
    mean QED                    0.600     0.600     +0.0%
    mean pseudo-likelihood      0.250     0.250     +0.0%
    mean length                  40.0      40.0     +0.0%
    """
    lines = [f"{'':24}{'before':>9} {'after':>9} {'change':>9}"]
    for name, (title, form) in _ROWS.items():
        was, now = before[name], after[name]
        change = f"{now / was - 1:+.1%}" if was and now is not None else "–"
        shown = ["–" if value is None else form.format(value) for value in (was, now)]
        lines.append(f"{title:24}{shown[0]:>9} {shown[1]:>9} {change:>9}")
    return "\n".join(lines)


def check_drawing() -> None:
    """Check that `write_report` can draw, before the work is done that it shows.

    Raises:
        ImportError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise ImportError("the report draws its curves with matplotlib: pip install '.[demo]'", name="matplotlib")


def write_report(folder: str | Path, before: Samples, after: Samples, history: Sequence[dict], seconds: float) -> dict:
    """Write `summary.json`, `samples.csv`, `reward_curve.png` and `best_molecules.png` into a folder.

    Args:
        folder: Where to; it is made.
        before: Samples of the policy that training started from.
        after: Samples of the policy that it ended with.
        history: `trainer.state.log_history`.
        seconds: How long training took.

    Returns:
        What `summary.json` holds.

    Raises:
        ImportError: matplotlib is not installed; nothing is written.
    """
    check_drawing()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    summary = {"before": before.summary(), "after": after.summary(), "training_seconds": round(seconds, 1)}
    file = folder / SUMMARY_FILE
    summary = (json.loads(file.read_text()) if file.is_file() else {}) | summary  # the run has written it
    file.write_text(json.dumps(summary, indent=2) + "\n")
    _write_samples(folder / "samples.csv", {"before": before, "after": after})
    _draw_curve(folder / "reward_curve.png", history)
    _draw_best(folder / "best_molecules.png", after)
    return summary


def _write_samples(file: Path, phases: dict[str, Samples]) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["policy", "smiles", "canonical_smiles", "outcome", "pseudo_likelihood", "score"])
        for phase, samples in phases.items():
            for smiles, item in zip(samples.smiles, samples.scored, strict=True):
                figures = [f"{figure:.6f}" for figure in (item.pseudo_likelihood, item.score)]
                writer.writerow([phase, smiles, item.sequence, item.outcome.value, *figures])


def _draw_curve(file: Path, history: Sequence[dict]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = {
        "reward": "reward",
        "ume_reward/pseudo_likelihood": "pseudo-likelihood\nof valid molecules",
        "ume_reward/valid": "validity",
        "kl": "KL to the start (nats)",
    }
    figure, axes = pyplot.subplots(len(panels), 1, figsize=(7, 8), sharex=True, constrained_layout=True)
    for axis, (name, title) in zip(axes, panels.items(), strict=True):
        points = [(entry["step"], entry[name]) for entry in history if name in entry]
        axis.plot(*zip(*points, strict=True) if points else ([], []), color="tab:red", linewidth=1.5)
        axis.set_ylabel(title)
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("step")
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _draw_best(file: Path, samples: Samples) -> None:
    found = {item.sequence: item.pseudo_likelihood for item in samples.scored if item.outcome is Outcome.SCORED}
    if found and can_draw():
        molecule_grid(dict(sorted(found.items(), key=lambda pair: -pair[1]))).save(file)
