"""What came of an optimisation: the molecules that were asked about, in the order of the calls, and how good they are."""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

EVERY = 100  # calls between two points of a curve, as in PMO


@dataclass(frozen=True)
class Result:
    """What came of an optimisation.

    Attributes:
        molecules: Canonical SMILES, all different, in the order in which the oracle was asked.
        scores: What it said of each; NaN where it failed.
        budget: How many calls it was allowed.
    """

    molecules: Sequence[str]
    scores: Sequence[float]
    budget: int

    def best(self, count: int = 10) -> list[tuple[str, float]]:
        """Return the best molecules and their scores, the best first; of equals the earlier one.

        >>> Result(["C", "CC", "CCC"], [0.1, math.nan, 0.3], budget=3).best(2)
        [('CCC', 0.3), ('C', 0.1)]
        """
        known = [(m, s) for m, s in zip(self.molecules, self.scores, strict=True) if not math.isnan(s)]
        return sorted(known, key=lambda pair: -pair[1])[:count]

    def curve(self, count: int = 10, every: int = EVERY) -> list[tuple[int, float]]:
        """Return the mean score of the ``count`` best so far after every so many calls, and after the last."""
        return curve(self.scores, count, every)

    def area(self, count: int = 10, every: int = EVERY) -> float:
        """Return the area under that curve as a share of the budget, PMO's AUC top-``count``; see `area`."""
        return area(self.scores, self.budget, count, every)

    def write(self, file: str | Path) -> None:
        """Write a CSV of all molecules: ``call``, ``sequence``, ``score``."""
        calls = range(1, len(self.molecules) + 1)
        pd.DataFrame({"call": calls, "sequence": self.molecules, "score": self.scores}).to_csv(file, index=False)


def curve(scores: Iterable[float], count: int = 10, every: int = EVERY) -> list[tuple[int, float]]:
    """Return the mean of the ``count`` best scores so far after every so many calls, and after the last.

    >>> curve([0.1, 0.5, 0.3], count=2, every=2)
    [(2, 0.3), (3, 0.4)]
    """
    points, best, calls = [], list[float](), 0
    for calls, score in enumerate(scores, 1):
        if not math.isnan(score):
            (heapq.heappush if len(best) < count else heapq.heappushpop)(best, score)
        if calls % every == 0:
            points.append((calls, _mean(best)))
    return points if calls % every == 0 else [*points, (calls, _mean(best))]


def area(scores: Sequence[float], budget: int, count: int = 10, every: int = EVERY) -> float:
    """Return the area under a curve by trapezoids from (0, 0), as a share of the budget.

    What is left of the budget counts with the last value (Gao et al., "Sample Efficiency Matters", 2022: ``top_auc``).

    >>> area([0.5, 0.5], budget=4, count=1, every=1)
    0.4375
    """
    total, before, value = 0.0, 0, 0.0
    for calls, reached in curve(scores[:budget], count, every):
        total += (calls - before) * (value + reached) / 2
        before, value = calls, reached
    return (total + (budget - before) * value) / budget


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
