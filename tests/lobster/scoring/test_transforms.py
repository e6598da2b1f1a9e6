"""Transforms: in [0, 1] for every number, and shaped as they say."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobster.scoring import DoubleSigmoid, Linear, Sigmoid, Step

ALL = [
    Linear(1, 3),
    Linear(3, 1),
    Sigmoid(1, 3),
    Sigmoid(3, 1),
    DoubleSigmoid(1, 3),
    DoubleSigmoid(1, 3, 0.1),
    Step(1, 3),
]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_becomes_a_score(value):
    assert all(0 <= transform(value) <= 1 for transform in ALL)


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_rising_and_falling_ones_are_monotonic(x, y):
    x, y = min(x, y), max(x, y)
    assert Linear(1, 3)(x) <= Linear(1, 3)(y)
    assert Linear(3, 1)(x) >= Linear(3, 1)(y)
    assert Sigmoid(1, 3)(x) <= Sigmoid(1, 3)(y)
    assert Sigmoid(3, 1)(x) >= Sigmoid(3, 1)(y)


def test_points_on_the_curves():
    assert [Sigmoid(200, 400)(x) for x in (200, 300, 400)] == pytest.approx([0.05, 0.5, 0.95])
    hill = DoubleSigmoid(200, 400)  # a flank is 50 wide
    assert [hill(x) for x in (175, 200, 225, 300, 375, 400, 425)] == pytest.approx(
        [0.05, 0.5, 0.95, 1, 0.95, 0.5, 0.05], abs=0.005
    )
    assert Sigmoid(-1e300, 1e300)(1e308) <= 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: Linear(1, 1),
        lambda: Linear(math.nan, 1),
        lambda: Sigmoid(0, math.inf),
        lambda: DoubleSigmoid(3, 1),
        lambda: DoubleSigmoid(1, 3, -1),
        lambda: DoubleSigmoid(1, 3, math.inf),
        lambda: Step(math.inf, math.inf),
        lambda: Step(),
        lambda: Step(3, 1),
    ],
)
def test_what_cannot_be_is_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()
