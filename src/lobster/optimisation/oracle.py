"""Who says what molecules are worth: a function, a scoring function, or a scorer with an encoder, asked in one way."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from lobster.constants import Modality
from lobster.scoring import Component, Scorer, ScoringError, ScoringFunction
from lobster.scoring.completions import Outcome
from lobster.scoring.scorer import scoring_of
from lobster.workers.measured import Measured, one_by_one, together

Function = Callable[[str], float] | Callable[[list[str]], Sequence[float]]
Oracle = Function | Scorer | ScoringFunction | Component | Mapping[str, Any] | str | Path
Ask = Callable[[list[str]], Iterable[Measured]]


def asked(oracle: Oracle, batch: bool = False) -> Ask:
    """Return a function from canonical SMILES to what an oracle says of each, one after the other where it is asked so.

    What is not a finite number is a failure.

    Args:
        oracle: See `lobster.optimisation.optimise`.
        batch: Whether a function takes a list.

    Raises:
        ScoringError: It is a scoring function that is described wrongly, or asks an encoder, or nothing about SMILES.
        FileNotFoundError: There is no such YAML file.

    >>> list(asked(len)(["CCO", "CCN"]))
    [Measured(value=3.0, error=''), Measured(value=3.0, error='')]
    >>> list(asked(lambda molecules: [float("nan") for _ in molecules], batch=True)(["C"]))
    [Measured(value=nan, error='expected a finite number, got nan')]
    """
    ask = _asked(oracle, batch)
    return lambda molecules: map(_checked, ask(molecules))


def _asked(oracle: Oracle, batch: bool) -> Ask:
    if isinstance(oracle, Scorer):
        return partial(_of_scorer, oracle)
    if callable(oracle) and not isinstance(oracle, ScoringFunction):
        function: Any = oracle
        if batch:
            return lambda molecules: _together(function, molecules)
        return lambda molecules: chain.from_iterable(one_by_one(function, [molecule]) for molecule in molecules)
    scoring = scoring_of(oracle)
    if scoring.uses_ume:
        raise ScoringError(
            "the score asks an encoder: name one (--encoder NAME; in Python pass Scorer(load_encoder(NAME), scoring))"
        )
    if not any(component.applies_to(Modality.SMILES) for component in scoring.components):
        raise ScoringError("no component of the score is about SMILES: expected one that is")
    # Oracles that take long keep what they say themselves (`lobster.scoring.oracles`), and are asked about many at a time.
    at_once = any(component.oracle or component.batch for component in scoring.components)
    return partial(_of_scoring, scoring, at_once)


def _of_scoring(scoring: ScoringFunction, at_once: bool, molecules: list[str]) -> Iterator[Measured]:
    for some in [molecules] if at_once else [[molecule] for molecule in molecules]:
        for score in scoring.score(some, Modality.SMILES) or []:
            yield Measured(score.total, "; ".join(score.errors.values()))


def _of_scorer(scorer: Scorer, molecules: list[str]) -> Iterator[Measured]:
    """Yield scores with an encoder; what the encoder cannot read is worth 0, as in a reward."""
    scored, faults = scorer.score_with_faults(molecules, Modality.SMILES)
    why = "; ".join(dict.fromkeys(text for texts in faults.values() for text in texts if text))
    for item in scored:
        failed = item.outcome is Outcome.SCORING_FAILED
        yield Measured(math.nan, why) if failed else Measured(item.score)


def _checked(measured: Measured) -> Measured:
    value, error = measured
    if error or math.isfinite(value):
        return measured
    return Measured(math.nan, f"expected a finite number, got {value}")


def described(oracle: Oracle) -> str:
    """Return what tells an oracle from others, in JSON: a function's name, or all that a score consists of.

    >>> print(described(len))
    "builtins.len"
    """
    if isinstance(oracle, Scorer):
        encoder, scoring = str(oracle.encoder.folder), json.loads(described(oracle.scoring))
        return json.dumps({"encoder": encoder, **scoring}, indent=2)
    if callable(oracle) and not isinstance(oracle, ScoringFunction):
        return json.dumps(_name(oracle))
    scoring = scoring_of(oracle)
    parts = [{k: v for k, v in part.arguments.items() if v is not None} for part in scoring.components]
    return json.dumps({"combine": scoring.combine, "components": parts}, indent=2, default=_name)


def _name(thing: Any) -> str:
    if is_dataclass(thing) or not callable(thing):  # a transform has its parameters in its text
        return str(thing)
    return f"{thing.__module__}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


def _together(function: Any, molecules: list[str]) -> list[Measured]:
    try:
        return together(function, molecules)
    except Exception as error:  # somebody else's may raise anything; the search goes on
        return [Measured.failed(error)] * len(molecules)
