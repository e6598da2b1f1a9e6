"""`lobster completion`: completion scripts for shells."""

import argparse

from lobster.cli.common import importing, verb_parser
from lobster.cli.main import VERBS, top_parser, verb_module

EXAMPLE = """
lobster completion bash > lobster.bash && . ./lobster.bash
"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    made = verb_parser("completion", "Print a script with which a shell completes verbs and arguments.", EXAMPLE)
    made.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    return made


def run(words: list[str]) -> None:
    """Print the script."""
    shell = parser().parse_args(words).shell
    with importing():
        import shtab

    whole = top_parser()
    verbs = whole.add_subparsers(dest="verb", parser_class=argparse.ArgumentParser)
    for verb, what in VERBS.items():
        verbs.add_parser(verb, parents=[verb_module(verb).parser()], add_help=False, help=what)
    print(shtab.complete(whole, shell=shell))
