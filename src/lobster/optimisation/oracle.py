"""Who says what molecules are worth: a function, a scoring function, or a scorer with an encoder, asked in one way."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from lobster.constants import Modality
from lobster.scoring import Component, Scorer, ScoringError, ScoringFunction
from lobster.scoring.scorer import scoring_of
from lobster.workers.measured import Measured, one_by_one, together

Function = Callable[[str], float] | Callable[[list[str]], Sequence[float]]
Oracle = Function | Scorer | ScoringFunction | Component | Mapping[str, Any] | str | Path
Ask = Callable[[list[str]], list[Measured]]


def asked(oracle: Oracle, batch: bool = False) -> Ask:
    """Return a function from canonical SMILES to what an oracle says of each.

    Args:
        oracle: See `lobster.optimisation.optimise`.
        batch: Whether a function takes a list.

    Raises:
        ScoringError: It is a scoring function that is described wrongly, or asks an encoder, or nothing about SMILES.
        FileNotFoundError: There is no such YAML file.

    >>> asked(len)(["CCO"]), asked(lambda molecules: [1 for _ in molecules], batch=True)(["C"])
    ([Measured(value=3.0, error='')], [Measured(value=1.0, error='')])
    """
    if isinstance(oracle, Scorer):
        return lambda molecules: [Measured(scored.score) for scored in oracle.score(molecules, Modality.SMILES)]
    if callable(oracle) and not isinstance(oracle, ScoringFunction):
        function: Any = oracle
        return lambda molecules: _together(function, molecules) if batch else one_by_one(function, molecules)
    scoring = scoring_of(oracle)
    if scoring.uses_ume:
        raise ScoringError(
            "the score asks an encoder: pass Scorer(load_encoder(NAME), scoring) as the oracle (--encoder NAME)"
        )
    if not any(component.applies_to(Modality.SMILES) for component in scoring.components):
        raise ScoringError("no component of the score is about SMILES: expected one that is")
    return lambda molecules: [
        Measured(score.total, "; ".join(score.errors.values()))
        for score in scoring.score(molecules, Modality.SMILES) or []
    ]


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
