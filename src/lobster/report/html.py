"""report.html: one file, readable without a network, that shows a run or compares several."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lobster.constants import Modality
from lobster.report.charts import bar_chart, curve_chart, histogram_chart
from lobster.report.run_record import Run, histogram, letters, measured, shares
from lobster.report.sequence_views import LEVELS, can_draw, draw_molecule, surprise_levels
from lobster.runs.folder import REPORT_FILE, stages
from lobster.sequences.chemistry import murcko_scaffold

if TYPE_CHECKING:
    from lobster.model import Encoder

DRAWN = 60  # molecules that are drawn, of all runs together
COLOURED = 40  # proteins and nucleotides whose letters are coloured
_PAGE = Path(__file__).parent / "page"
_NEEDED = {"vl_convert": "vl-convert-python", "jinja2": "jinja2"}


@dataclass(frozen=True)
class Report:
    """A page that `write_html_report` wrote. Where it is the last value of a notebook's cell, the notebook shows it.

    Attributes:
        file: Where it is.
    """

    file: Path

    def _repr_html_(self) -> str:
        page = escape(self.file.read_text(encoding="utf-8"))
        return f'<iframe srcdoc="{page}" width="100%" height="720" frameborder="0"></iframe>'


def can_write_html_report() -> bool:
    """Say whether what `write_html_report` needs is installed."""
    return all(find_spec(module) for module in _NEEDED)


def write_html_report(
    runs: str | Path | Sequence[str | Path], file: str | Path | None = None, encoder: "Encoder | None" = None
) -> Path:
    """Write a report of a run, or of several beside each other.

    It is one HTML file of 1 to 3 MB that needs no network.

    Args:
        runs: The folder of a run, its ``output_dir``; or several. That of a run in stages stands for all of them.
        file: Where to; by default ``report.html`` in the (first) run's folder.
        encoder: Colours atoms, residues and bases by how much they surprise it; without one they are not coloured.

    Returns:
        The file.

    Raises:
        FileNotFoundError: A folder is none of a run.
        ImportError: vl-convert-python is not installed.
    """
    if not can_write_html_report():
        missing = next(package for module, package in _NEEDED.items() if not find_spec(module))
        raise ImportError(f"the report needs {missing}: pip install 'lobster-rl[report]'", name=missing)
    folders = [Path(runs)] if isinstance(runs, (str, Path)) else [Path(folder) for folder in runs]
    file = folders[0] / REPORT_FILE if file is None else Path(file)
    folders = [run for folder in folders for run in stages(folder) or [folder]]
    loaded = [Run.load(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]
    file.write_text(_render(loaded, encoder), encoding="utf-8")
    return file


def _names(folders: Sequence[Path]) -> list[str]:
    """Return short names of folders that differ."""
    for parts in range(1, 9):
        names = ["/".join(folder.resolve().parts[-parts:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    raise ValueError(f"a run is named twice: {', '.join(map(str, folders))}")


def _render(runs: list[Run], encoder: "Encoder | None") -> str:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(_PAGE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    charts: dict[str, dict[str, Any]] = {}

    def chart(spec: dict[str, Any]) -> str:
        charts[name := f"chart-{len(charts) + 1}"] = spec
        return name

    curves, samples, names = _curves(runs), _samples(runs), [run.name for run in runs]
    series = list(samples)
    return environment.get_template("report.html.j2").render(
        runs=runs,
        names=names,
        series=series,
        figures=_figures(runs),
        curves=[(title, chart(curve_chart(values, names))) for title, values in curves],
        distributions=[(title, chart(histogram_chart(v, series))) for title, v in _distributions(samples)],
        bars=[(title, chart(bar_chart(v, series))) for title, v in _bars(samples)],
        cards=(cards := _cards(runs, encoder)),
        sort_keys=list(dict.fromkeys(key for card in cards for key in card["values"])),
        scaffolds=any(card["scaffold"] is not None for card in cards),
        coloured=any(card["coloured"] for card in cards),
        levels=range(LEVELS),
        settings=_settings(runs),
        charts=charts,
        style=(_PAGE / "report.css").read_text(),
        script=(_PAGE / "report.js").read_text(),
        vega=_vega(),
    )


@cache
def _vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")


def _curves(runs: list[Run]) -> list[tuple[str, list[dict[str, Any]]]]:
    titles = {metric: title for run in runs for metric, title in run.metric_titles.items()}
    found = [(title, [point for run in runs for point in run.curve(metric)]) for metric, title in titles.items()]
    return [(title, points) for title, points in found if points]


def _samples(runs: list[Run]) -> dict[str, pd.DataFrame]:
    """Return the completions that are compared: the first and last of a run, the last ones of several."""
    if len(runs) == 1:
        return runs[0].phases
    return {run.name: list(run.phases.values())[-1] for run in runs if run.phases}


def _distributions(samples: dict[str, pd.DataFrame]) -> list[tuple[str, list[dict[str, Any]]]]:
    figures = {name: measured(part) for name, part in samples.items()}
    columns = list(dict.fromkeys(column for part in figures.values() for column in part))
    found = [(c.replace("_", " "), histogram({n: p[c] for n, p in figures.items() if c in p})) for c in columns]
    return [(title, bars) for title, bars in found if bars]


def _bars(samples: dict[str, pd.DataFrame]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return what became of completions, and the composition of proteins and nucleotides."""
    found = [("what became of them", shares({name: part["outcome"] for name, part in samples.items()}))]
    for modality, what in ((Modality.AMINO_ACID, "residues"), (Modality.NUCLEOTIDE, "bases")):
        found.append((what, shares({name: letters(part, modality) for name, part in samples.items()})))
    return [(title, values) for title, values in found if values]


def _figures(runs: list[Run]) -> list[tuple[str, list[str]]]:
    """Return the table of figures: the first and last steps of a run, or the last ones of several."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for run in runs:
        for title, first, last in run.figures():
            found.setdefault(title, {})[run.name] = first, last
    if len(runs) == 1:
        return [(title, [_figure(x) for x in of_runs[runs[0].name]]) for title, of_runs in found.items()]
    return [
        (title, [_figure(of_runs[run.name][1]) if run.name in of_runs else "–" for run in runs])
        for title, of_runs in found.items()
    ]


def _figure(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _cards(runs: list[Run], encoder: "Encoder | None") -> list[dict[str, Any]]:
    """Return the best sequences of all runs with what a card shows of each, the best first."""
    rows = [{"run": run.name} | row for run in runs for row in run.best.to_dict("records")]
    rows.sort(key=lambda row: -row["score"])
    shown = _shown(rows, len(runs))
    surprises = _surprises(rows, shown, encoder) if encoder is not None else {}
    drawn = {n for n in shown if rows[n]["modality"] == Modality.SMILES.value}
    if drawn and not can_draw():
        drawn = set()
    cards = []
    for number, row in enumerate(rows):
        molecule = row["modality"] == Modality.SMILES.value
        figures = {k: v for k, v in row.items() if k not in ("run", "sequence", "modality") and math.isfinite(v)}
        levels = surprises.get(number)
        cards.append(
            {
                "run": row["run"],
                "sequence": row["sequence"],
                "modality": row["modality"],
                "values": {k: float(f"{v:.4g}") for k, v in figures.items()} | {"length": len(row["sequence"])},
                "scaffold": murcko_scaffold(row["sequence"]) if molecule else None,
                "picture": draw_molecule(row["sequence"], levels) if number in drawn else None,
                "levels": "".join(map(str, levels)) if levels and not molecule else None,
                "coloured": levels is not None,
            }
        )
    return cards


def _shown(rows: list[dict[str, Any]], runs: int) -> set[int]:
    """Return the numbers of the sequences that are drawn or coloured: the best of each run and modality."""
    counts: Counter[tuple[str, str]] = Counter()
    found = set()
    for number, row in enumerate(rows):
        counts[row["run"], row["modality"]] += 1
        most = DRAWN if row["modality"] == Modality.SMILES.value else COLOURED
        if counts[row["run"], row["modality"]] <= max(1, most // runs):
            found.add(number)
    return found


def _surprises(rows: list[dict[str, Any]], shown: set[int], encoder: "Encoder") -> dict[int, list[int]]:
    """Return how surprising each letter is of the sequences that are shown, by their number."""
    from lobster.model import explain

    found: dict[int, list[int]] = {}
    for modality in encoder.modalities:
        numbers = [number for number in sorted(shown) if rows[number]["modality"] == modality.value]
        explanations = explain(encoder, [rows[number]["sequence"] for number in numbers], modality)
        for number, explained in zip(numbers, explanations, strict=True):
            if explained is not None and sum(map(len, explained.tokens)) == len(explained.sequence):
                found[number] = surprise_levels(explained.of_letters, modality)
    return found


def _settings(runs: list[Run]) -> list[tuple[str, list[str], bool]]:
    """Return what runs were set to: the name, the value in each run, whether they differ; those that differ first."""
    flat = [_flat(run.description) for run in runs]
    names = list(dict.fromkeys(name for one in flat for name in one))
    rows = [(name.removeprefix("arguments."), [one.get(name, "–") for one in flat]) for name in names]
    found = [(name, values, len(set(values)) > 1) for name, values in rows]
    return sorted(found, key=lambda row: not row[2])


def _flat(value: Any, name: str = "") -> dict[str, str]:
    """Return nested settings as text by dotted names."""
    if isinstance(value, dict) and value:
        return {
            key: leaf
            for part, inner in value.items()
            for key, leaf in _flat(inner, f"{name}.{part}".strip(".")).items()
        }
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        named = {
            str(part.get("name", part.get("kind", number))) if isinstance(part, dict) else str(number): part
            for number, part in enumerate(value)
        }
        return _flat(named, name)
    return {name: f"{value:g}" if isinstance(value, float) else "–" if value is None else str(value)}
