"""`lobster models`: what ships."""

import argparse

from lobster.cli.common import verb_parser

EXAMPLE = """
lobster models
lobster models ume-mini-base-12M
"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    made = verb_parser("models", "List the models that ship; with a name, print its card.", EXAMPLE)
    made.add_argument("name", nargs="?", help="whose card to print")
    return made


def run(words: list[str]) -> None:
    """List the models, or print a card."""
    from lobster.shipped import shipped_models

    arguments = parser()
    name, models = arguments.parse_args(words).name, shipped_models()
    if name is not None and name not in models:
        arguments.error(f"no model {name!r} ships: expected one of {', '.join(models)}")
    if name is not None:
        print(models[name].card)
        return
    print(f"{'name':<20}{'what':<9}{'parameters':>11}{'MB':>7}  about")
    for model in models.values():
        print(f"{model.name:<20}{model.kind:<9}{model.parameters:>11,}{model.megabytes:>7.1f}  {model.about}")
