"""What several verbs share: the shape of their help, and quiet libraries."""

import argparse
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

MODALITIES = ("SMILES", "amino_acid", "nucleotide")

# A shell's way to a FASTA file of sixty proteins like ubiquitin.
FAMILY = r"""
awk 'BEGIN { w = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"
  print ">ubiquitin\n" w; for (n = 1; n < 60; n++) { s = w; for (k = 0; k < 25; k++) { p = 1 + int(rand() * 76)
  s = substr(s, 1, p - 1) substr("ACDEFGHIKLMNPQRSTVWY", 1 + int(rand() * 20), 1) substr(s, p + 1) }
  print ">relative" n "\n" s } }' > database.fasta
"""


def verb_parser(verb: str, what: str, example: str, **more: Any) -> argparse.ArgumentParser:
    """Return the parser of a verb, whose help ends in an example that runs in an empty folder."""
    lines = "\n".join(f"  {line}" for line in example.strip().splitlines())
    return argparse.ArgumentParser(
        prog=f"lobster {verb}",
        description=what,
        epilog=f"example:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **more,
    )


@contextmanager
def importing() -> Iterator[None]:
    """Import large libraries, quiet from then on, with the garbage collector off.

    They make a million objects, which stay: to look through those again and again is a fourth of the time that imports take.
    """
    gc.disable()
    try:
        from lobster.quiet import silence_libraries

        silence_libraries()
        yield
    finally:
        if not gc.get_freeze_count():  # once a process: what is garbage by then stays, too
            gc.freeze()
        gc.enable()


def passed_on(verb: str, what: str, example: str) -> argparse.ArgumentParser:
    """Return the parser of a verb whose arguments another module parses, and lists after its help."""
    made = verb_parser(verb, what, example, add_help=False, usage=f"lobster {verb} [arguments]")
    made.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    return made


def pass_on(made: argparse.ArgumentParser, words: list[str], module: str, *command: str, **more: Any) -> None:
    """Let another module's `main` do a verb's work; its own list of arguments follows the verb's help.

    Args:
        made: The verb's parser (`passed_on`).
        words: The command line behind the verb.
        module: Whose ``main`` is called, with the words behind ``command``.
        command: What stands before them.
        more: Further arguments of it.
    """
    if not words or {"-h", "--help"} & {*words}:
        made.print_help()
        print("\narguments:")
        words = ["--help"]
    with importing():
        main = import_module(module).main
    main([*command, *words], **more)
