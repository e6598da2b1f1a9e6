"""`lobster pretrain`: `python -m lobster.pretraining`."""

import argparse

from lobster.cli.common import importing, verb_parser

EXAMPLE = """
lobster sample smiles-policy-3M --count 500 --output molecules.txt
lobster pretrain policy --smiles molecules.txt --output_dir runs/policy --max_steps 20 --batch_tokens 512
"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    what = "Train an encoder or a starting policy. lobster pretrain COMMAND --help lists a command's arguments."
    made = verb_parser("pretrain", what, EXAMPLE)
    commands = ("ume", "relatives", "adapt", "policy", "reference", "publish", "vocabulary", "neighbourhoods")
    made.add_argument("command", choices=commands, metavar="COMMAND", help=", ".join(commands))
    made.add_argument("words", nargs=argparse.REMAINDER, metavar="…", help="its arguments")
    return made


def run(words: list[str]) -> None:
    """Train."""
    arguments = parser().parse_args(words)
    with importing():
        from lobster.pretraining.__main__ import main

    main([arguments.command, *arguments.words], prog="lobster pretrain")
