"""`lobster evaluate`: `python -m lobster.evaluation`."""

import argparse

from lobster.cli.common import importing, verb_parser

EXAMPLE = """
lobster sample smiles-policy-3M --count 200 --output samples.txt
lobster evaluate samples samples.txt --modality SMILES
"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    what = "Measure models and what they write. lobster evaluate COMMAND --help lists a command's arguments."
    made = verb_parser("evaluate", what, EXAMPLE)
    commands = ("ume", "policy", "samples", "mutants")
    made.add_argument("command", choices=commands, metavar="COMMAND", help=", ".join(commands))
    made.add_argument("words", nargs=argparse.REMAINDER, metavar="…", help="its arguments")
    return made


def run(words: list[str]) -> None:
    """Measure."""
    arguments = parser().parse_args(words)
    with importing():
        from lobster.evaluation.__main__ import main

    main([arguments.command, *arguments.words], prog="lobster evaluate")
