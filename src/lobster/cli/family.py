"""`lobster family`: `python -m lobster.pretraining relatives`."""

import argparse

from lobster.cli.common import FAMILY, pass_on, passed_on

EXAMPLE = f"""{FAMILY}head -2 database.fasta > protein.fasta
lobster family --query protein.fasta --database database.fasta --output relatives.fasta
"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    return passed_on("family", "Find the relatives of a protein, for rewards, adapt and mutants.", EXAMPLE)


def run(words: list[str]) -> None:
    """Do it."""
    pass_on(parser(), words, "lobster.pretraining.__main__", "relatives", prog="lobster pretrain")
