"""Figures with a baseline beside each, as Markdown and JSON."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Figure:
    """One line of a scorecard.

    Attributes:
        section: What it belongs to.
        modality: Of the sequences.
        name: What was measured.
        count: Of how many sequences, pairs, mutants or strings.
        value: The model's figure.
        baselines: The same figure of something simpler, by name.
    """

    section: str
    modality: str
    name: str
    count: int
    value: float
    baselines: dict[str, float] = field(default_factory=dict)


def markdown(figures: Sequence[Figure], model: str) -> str:
    """Return a table for each section, in the order of their first figures.

    >>> print(markdown([Figure("Held out", "SMILES", "accuracy", 3, 0.5, {"unigram": 0.25})], "ume"))
    Held out
    <BLANKLINE>
    | modality | figure | n | ume | baseline |
    |---|---|---|---|---|
    | SMILES | accuracy | 3 | 0.500 | unigram 0.250 |
    """
    parts = []
    for section in dict.fromkeys(figure.section for figure in figures):
        lines = [figure for figure in figures if figure.section == section]
        rows = [
            f"| {f.modality} | {f.name} | {f.count:,} | {_number(f.value)} | "
            f"{', '.join(f'{name} {_number(value)}' for name, value in f.baselines.items()) or '–'} |"
            for f in lines
        ]
        parts.append(
            "\n".join([section, "", f"| modality | figure | n | {model} | baseline |", "|---|---|---|---|---|", *rows])
        )
    return "\n\n".join(parts)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def as_json(figures: Iterable[Figure]) -> list[dict]:
    """Return figures as what `json.dumps` takes; a value that is not finite, which JSON has no word for, is None."""

    def known(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return [
        asdict(f) | {"value": known(f.value), "baselines": {name: known(value) for name, value in f.baselines.items()}}
        for f in figures
    ]
