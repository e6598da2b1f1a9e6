"""Rewards of the user's own: what TRL cannot train on ends the run in one line, on all processes together."""

import math
from collections.abc import Callable
from typing import Any

import torch
from trl.trainer.utils import get_callable_name, is_async_callable

from lobster.processes import from_all_processes

_LARGEST = torch.finfo(torch.float32).max ** 0.5  # TRL squares rewards in float32


class CheckedReward:
    """A reward function whose faults are told by `raise_faults`, once all processes have called theirs.

    What raises on one process alone leaves the others waiting for its rewards: here it answers infinities, which nothing
    is trained on.

    Args:
        function: Called with ``prompts``, ``completions``, …; returns a number, or None, for each completion.

    Attributes:
        fault: What was wrong with its last answer; None where nothing was.

    >>> CheckedReward(len).__name__
    'len'
    """

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        self.__name__ = get_callable_name(function)
        self.fault: str | None = None
        self.cause: Exception | None = None

    def __call__(self, completions: list, **columns: Any) -> list[float | None]:
        try:
            return self._read(self.function(completions=completions, **columns), completions)
        except Exception as error:
            return self._fail(error, completions)

    def _read(self, answer: Any, completions: list) -> list[float | None]:
        """Return an answer as numbers.

        Raises:
            ValueError, TypeError: It is not a number or None for each completion.
        """
        if isinstance(answer, str) or not hasattr(answer, "__len__"):
            raise _WrongAnswer(f"returned {answer!r:.60}")
        if len(answer) != len(completions):
            raise _WrongAnswer(f"returned {len(answer)} rewards for {len(completions)} completions")
        rewards: list[float | None] = []
        for reward, completion in zip(answer, completions, strict=True):
            try:
                number = None if reward is None else float(reward)
            except (TypeError, ValueError):
                number = math.nan
            if number is not None and not abs(number) <= _LARGEST:
                raise _WrongAnswer(f"returned {reward!r:.60} for {completion!r:.60}")
            rewards.append(number)
        return rewards

    def _fail(self, error: Exception, completions: list) -> list[float | None]:
        self.cause = error
        what = str(error) if isinstance(error, _WrongAnswer) else f"failed ({type(error).__name__}: {error})"
        self.fault = (
            f"reward function {self.__name__!r} {what}: expected a list with a finite number for each completion, or None "
            "where it has nothing to say"
        )
        return [math.inf] * len(completions)


class CheckedAsyncReward(CheckedReward):
    """The same of a coroutine function."""

    async def __call__(self, completions: list, **columns: Any) -> list[float | None]:  # type: ignore[override]
        try:
            return self._read(await self.function(completions=completions, **columns), completions)
        except Exception as error:
            return self._fail(error, completions)


class _WrongAnswer(ValueError):
    """A reward function answered what is no list of rewards."""


def checked(function: Any) -> Any:
    """Return a reward function whose answers are checked; a reward model, or its name, as it is."""
    if isinstance(function, (str, torch.nn.Module, CheckedReward)):
        return function
    return (CheckedAsyncReward if is_async_callable(function) else CheckedReward)(function)


def raise_faults(functions: list[Any]) -> None:
    """Raise what went wrong in reward functions, in all processes, which must call it together.

    Raises:
        ValueError: An answer was no list of finite numbers; the message names the function.
    """
    guilty = [f for f in functions if isinstance(f, CheckedReward) and f.fault]
    told = [line for lines in from_all_processes([f.fault for f in guilty])[0] for line in lines]
    if told:
        raise ValueError(told[0]) from (guilty[0].cause if guilty else None)
