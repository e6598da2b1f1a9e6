"""`lobster mutants`: `python -m lobster.evaluation mutants`."""

import argparse

from lobster.cli.common import pass_on, passed_on

EXAMPLE = r"""
printf 'mutant,score\nM1A,0.1\nQ2E,0.9\nI3P,0.2\nF4L,0.7\n' > scan.csv
lobster mutants scan.csv --wild_type MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEG --encoder ume-nano-base-3M
"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    return passed_on("mutants", "Score mutants of a protein, and hold that against what was measured of them.", EXAMPLE)


def run(words: list[str]) -> None:
    """Do it."""
    pass_on(parser(), words, "lobster.evaluation.__main__", "mutants", prog="lobster evaluate")
