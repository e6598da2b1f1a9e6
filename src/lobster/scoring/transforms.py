"""Transforms of a value to a score in [0, 1], as molecular designers use them (Blaschke et al., "REINVENT 2.0", 2020)."""

import math
from dataclasses import dataclass


def _check(low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        raise ValueError(f"low is {low}, high is {high}: expected two different numbers")


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else 1 - 1 / (1 + math.exp(x))


@dataclass(frozen=True)
class Linear:
    """0 at ``low``, 1 at ``high``, straight between; with ``low`` above ``high`` small values are good.

    >>> Linear(1, 3)(1.5), Linear(500, 400)(300), Linear(500, 400)(475)
    (0.25, 1.0, 0.25)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check(self.low, self.high)

    def __call__(self, value: float) -> float:
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


@dataclass(frozen=True)
class Sigmoid:
    """A logistic curve, 0.05 at ``low`` and 0.95 at ``high``; with ``low`` above ``high`` small values are good.

    >>> round(Sigmoid(1, 3)(1), 3), Sigmoid(1, 3)(2), round(Sigmoid(3, 1)(1), 3)
    (0.05, 0.5, 0.95)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check(self.low, self.high)

    def __call__(self, value: float) -> float:
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return _logistic(math.log(19) * (value - middle) / half)


@dataclass(frozen=True)
class DoubleSigmoid:
    """A hill: up through 0.5 at ``low``, down through 0.5 at ``high``.

    Each flank rises from 0.05 to 0.95 within ``width``, by default a quarter of the hill.

    >>> hill = DoubleSigmoid(200, 400, width=20)
    >>> hill(200), round(hill(300), 3), hill(400), round(hill(500), 3)
    (0.5, 1.0, 0.5, 0.0)
    """

    low: float
    high: float
    width: float | None = None

    def __post_init__(self) -> None:
        _check(self.low, self.high)
        if self.low > self.high or (self.width is not None and not 0 < self.width < math.inf):
            raise ValueError(
                f"low is {self.low}, high is {self.high}, width is {self.width}: expected low < high, width > 0"
            )

    def __call__(self, value: float) -> float:
        slope = 2 * math.log(19) / (self.width or (self.high - self.low) / 4)
        return _logistic(slope * (value - self.low)) * _logistic(slope * (self.high - value))


@dataclass(frozen=True)
class Step:
    """1 from ``low`` to ``high``, both included, and 0 elsewhere; either end may be left open.

    >>> Step(low=2)(2), Step(low=2)(1.9), Step(high=5)(7), Step(2, 5)(3)
    (1.0, 0.0, 0.0, 1.0)
    """

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low <= self.high or (math.isinf(self.low) and math.isinf(self.high)):
            raise ValueError(f"low is {self.low}, high is {self.high}: expected low <= high, one of them at least")

    def __call__(self, value: float) -> float:
        return float(self.low <= value <= self.high)


Transform = Linear | Sigmoid | DoubleSigmoid | Step
TRANSFORMS: dict[str, type[Transform]] = {
    "linear": Linear,
    "sigmoid": Sigmoid,
    "double_sigmoid": DoubleSigmoid,
    "step": Step,
}
