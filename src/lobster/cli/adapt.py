"""`lobster adapt`: `python -m lobster.pretraining adapt`."""

import argparse

from lobster.cli.common import FAMILY, pass_on, passed_on

EXAMPLE = f"""{FAMILY}lobster adapt --amino_acid database.fasta --output_dir my-family --max_steps 20
"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    return passed_on("adapt", "Adapt an encoder to a family of proteins.", EXAMPLE)


def run(words: list[str]) -> None:
    """Do it."""
    pass_on(parser(), words, "lobster.pretraining.__main__", "adapt", prog="lobster pretrain")
