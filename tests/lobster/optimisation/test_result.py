import math

import numpy as np
import pandas as pd
import pytest

from lobster.optimisation import Result
from lobster.optimisation.result import area


def by_definition(scores, budget, count, every):
    """The area as the benchmark's paper describes it, in numpy's words."""
    calls = [*range(every, len(scores), every), len(scores)]
    values = [np.mean(sorted(scores[:n])[-count:]) for n in calls]
    whole = np.trapezoid([0, *values], [0, *calls])
    return (whole + (budget - len(scores)) * values[-1]) / budget


@pytest.mark.parametrize("calls", [40, 100, 950, 1000])
def test_the_area_is_that_of_its_definition(calls):
    scores = np.random.default_rng(0).random(calls).tolist()
    assert area(scores, 1000) == pytest.approx(by_definition(scores, 1000, 10, 100))


def test_failures_count_as_calls_but_not_as_scores():
    result = Result(["C", "CC", "CCC"], [math.nan, 0.5, 0.7], budget=3)
    assert result.curve(count=2, every=1) == [(1, 0.0), (2, 0.5), (3, 0.6)]
    assert result.best() == [("CCC", 0.7), ("CC", 0.5)]


def test_the_table_is_in_the_order_of_the_calls(tmp_path):
    Result(["C", "CC"], [0.1, 0.2], budget=2).write(tmp_path / "molecules.csv")
    assert pd.read_csv(tmp_path / "molecules.csv").values.tolist() == [[1, "C", 0.1], [2, "CC", 0.2]]
