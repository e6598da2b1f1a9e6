"""What a measure says of sequences, and why where it says nothing."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, SupportsFloat


class Measured(NamedTuple):
    """The value of one sequence, before any transform.

    Attributes:
        value: NaN where there is none.
        error: Why there is none, in one line.
    """

    value: float
    error: str = ""

    @classmethod
    def failed(cls, error: Exception) -> "Measured":
        """Return that there is no value, since a measure raised.

        >>> Measured.failed(ValueError("no such molecule"))
        Measured(value=nan, error='ValueError: no such molecule')
        """
        return cls(math.nan, f"{type(error).__name__}: {in_one_line(error)}")


def one_by_one(function: Callable[[str], Any], sequences: Sequence[str]) -> list[Measured]:
    """Ask a function for each sequence; what it raises for one is the failure of that one.

    >>> one_by_one(lambda sequence: 1 / sequence.count("C"), ["CC", "N"])
    [Measured(value=0.5, error=''), Measured(value=nan, error='ZeroDivisionError: division by zero')]
    """
    return [_value(function, sequence) for sequence in sequences]


def together(function: Callable[[list[str]], Any], sequences: Sequence[str]) -> list[Measured]:
    """Ask a function for all sequences in one call; a value that is no number is the failure of its sequence alone.

    Instead of a value an exception may say why there is none.

    Raises:
        ValueError: It returned more or fewer values than there are sequences; and whatever it raises itself.

    >>> together(lambda sequences: [len(s) if s.isupper() else None for s in sequences], ["CC", "c"])
    [Measured(value=2.0, error=''), Measured(value=nan, error='TypeError: expected a number, got None')]
    """
    values = list(function(list(sequences)))
    if len(values) != len(sequences):
        raise ValueError(f"{len(values)} values were returned for {len(sequences)} sequences: expected one for each")
    return [Measured.failed(v) if isinstance(v, Exception) else _value(lambda v: v, v) for v in values]


def _value(function: Callable[[Any], Any], argument: Any) -> Measured:
    try:
        return Measured(as_float(function(argument)))
    except Exception as error:  # a part of somebody else's may raise anything; the run goes on
        return Measured.failed(error)


def as_float(value: Any) -> float:
    """Return what is a number as one.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(value, SupportsFloat):
        raise TypeError(f"expected a number, got {value!r:.60}")
    return float(value)


def in_one_line(error: Exception) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(error).split())
