"""GuacaMol's goal-directed benchmarks run by its own code, where it is installed: ``pip install --no-deps guacamol fcd``."""

from statistics import fmean

import pandas as pd
import pytest

pytest.importorskip("guacamol")
pytest.importorskip("fcd")  # which it imports
RANOLAZINE = "COc1ccccc1OCC(O)CN1CCN(CC(=O)Nc2c(C)cccc2C)CC1"


@pytest.fixture(scope="module")
def goals(benchmark_module):
    return benchmark_module("guacamol_goals")


def test_a_benchmark_asks_for_the_best_molecules_and_goes_on(goals, tiny_policy, tmp_path):
    def assess():  # each time a new benchmark, which counts its calls
        suite = {one.name: one for one in goals.goal_directed_benchmark_suite("v2")}
        return suite["Ranolazine MPO"].assess_model(goals.Optimiser(130, tmp_path, str(tiny_policy)))

    result, again = assess(), assess()
    assert (result.number_scoring_function_calls, again.number_scoring_function_calls) == (130, 0)
    assert again.optimized_molecules == result.optimized_molecules
    asked = pd.read_csv(tmp_path / "molecules.csv")
    assert len(asked) == 130
    assert asked["sequence"][0] == RANOLAZINE  # which the benchmark has to start from
    best = [score for _, score in result.optimized_molecules]
    assert len(best) == 100
    assert best[0] == pytest.approx(asked["score"].max(), abs=1e-6)
    assert result.score == pytest.approx(fmean([best[0], fmean(best[:10]), fmean(best)]), abs=1e-9)
    assert goals.table([{"benchmark": "QED", "score": 0.5, "best": 0.9, "similarity": 0.1, "cpu_seconds": 3}]).endswith(
        "| QED | 0.5 | 0.9 | 0.1 | 3 |\n| sum | 0.500 | | | |"
    )
