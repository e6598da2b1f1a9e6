"""`lobster family`: `python -m lobster.pretraining relatives`."""

import argparse

from lobster.cli.common import asks_for_help, passed_on, quiet

EXAMPLE = r"""
awk 'BEGIN { w = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"
  print ">ubiquitin\n" w; for (n = 1; n < 60; n++) { s = w; for (k = 0; k < 25; k++) { p = 1 + int(rand() * 76)
  s = substr(s, 1, p - 1) substr("ACDEFGHIKLMNPQRSTVWY", 1 + int(rand() * 20), 1) substr(s, p + 1) }
  print ">relative" n "\n" s } }' > database.fasta
head -2 database.fasta > protein.fasta
lobster family --query protein.fasta --database database.fasta --output relatives.fasta
"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    return passed_on("family", "Find the relatives of a protein, for rewards, adapt and mutants.", EXAMPLE)


def run(words: list[str]) -> None:
    """Do it."""
    if asks_for_help(words):
        parser().print_help()
        print("\narguments:")
        words = ["--help"]
    quiet()
    from lobster.pretraining.__main__ import main

    main(["relatives", *words])
