"""Parameters as people write them, in Python or YAML, made what a function's signature says that they are."""

import inspect
import numbers
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin


def signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return a function's signature with its annotations as types where they can be found; None where it has none."""
    for evaluated in (True, False):
        with suppress(Exception):  # an annotation may be any text
            return inspect.signature(function, eval_str=evaluated)
    return None  # some functions of C


def fit(parameters: Mapping[str, Any], known: inspect.Signature | None) -> dict[str, Any]:
    """Return parameters as a signature's annotations, or else defaults, have them.

    Where a list belongs, one string or path is a list of one, and any other collection becomes a list; where a number
    belongs, a number written as text is one (YAML 1.1 takes ``1e-3`` for text). What has no annotation stays as it is.

    Raises:
        ValueError: A value is no number, or no list (of text), where that belongs.

    >>> def measure(sequence: str, wanted: Iterable[str], ph: float = 7.0): ...
    >>> fit({"wanted": "RGD", "ph": "1e-3"}, signature(measure))
    {'wanted': ['RGD'], 'ph': 0.001}
    """
    if known is None:
        return dict(parameters)
    return {
        name: _fitted(name, value, known.parameters[name]) if name in known.parameters else value
        for name, value in parameters.items()
    }


def number(value: Any) -> Any:
    """Return a number, which may be written as text.

    Raises:
        ValueError: It is none.

    >>> number("1e-3"), number(2)
    (0.001, 2)
    """
    found: float | None = None
    if isinstance(value, (str, numbers.Real)) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            found = float(value)
    if found is None:
        raise ValueError(f"is {value!r:.60}, expected a number")
    return found if isinstance(value, str) else value


def _fitted(name: str, value: Any, parameter: inspect.Parameter) -> Any:
    annotation = parameter.annotation if parameter.annotation is not parameter.empty else type(parameter.default)
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    types = [found for kind in kinds if isinstance(found := get_origin(kind) or kind, type)]
    if any(kind in (str, NoneType) and isinstance(value, kind) for kind in types):
        return value
    try:
        if int in types or float in types:
            return number(value)
        if any(issubclass(kind, Iterable) and not issubclass(kind, (str, bytes, Mapping)) for kind in types):
            return _list(value, of_text=any(str in get_args(kind) for kind in kinds))
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error
    return value


def _list(value: Any, of_text: bool) -> list[Any]:
    if isinstance(value, (str, os.PathLike)):
        value = [value]
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable):
        raise ValueError(f"is {value!r:.60}, expected a list{' of text' if of_text else ''}")
    items = [os.fspath(item) if isinstance(item, os.PathLike) else item for item in value]
    for item in items if of_text else ():
        if not isinstance(item, str):  # YAML 1.1 takes NO, hydroxylamine, for false
            raise ValueError(f"has {item!r:.60}, expected text: in YAML, put it in quotes")
    return items
