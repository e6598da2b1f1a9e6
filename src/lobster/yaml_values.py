"""Values as people write them in YAML, in files and on a command line."""

import re
from collections.abc import Sequence
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Reads 1e-5 as a number, as YAML 1.2 does."""


_Loader.yaml_implicit_resolvers = {first: list(some) for first, some in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def read_yaml(text: str | bytes, name: str) -> Any:
    """Return what YAML says; 1e-5, which YAML 1.1 takes for text, is a number.

    Args:
        text: The YAML.
        name: What it is called in errors.

    Raises:
        ValueError: It is no YAML.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{name} is not YAML: {' '.join(str(error).split())}") from error


def parse_value(text: str) -> Any:
    """Read a value that is written in YAML.

    Raises:
        ValueError: It is no YAML.

    >>> parse_value("{smiles: 1e-5}")
    {'smiles': 1e-05}
    """
    return read_yaml(text, repr(text))


def parse_settings(words: Sequence[str]) -> dict[str, Any]:
    """Read `--name value` pairs, whose values are YAML.

    Raises:
        ValueError: The words are no such pairs.

    >>> parse_settings(["--learning_rate", "1e-5", "--diversity", "{floor: 0.85}"])
    {'learning_rate': 1e-05, 'diversity': {'floor': 0.85}}
    """
    settings: dict[str, Any] = {}
    for name, value in zip(words[::2], words[1::2], strict=False):
        if not name.startswith("--"):
            raise ValueError(f"expected --name value, got {name!r}")
        settings[name[2:]] = parse_value(value)
    if len(words) % 2:
        raise ValueError(f"{words[-1]!r} has no value: expected --name value")
    return settings
