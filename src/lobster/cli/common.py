"""What several verbs share: the shape of their help, and quiet libraries."""

import argparse
from typing import Any

MODALITIES = ("SMILES", "amino_acid", "nucleotide")


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


def quiet() -> None:
    """Keep libraries from saying what is of no use on a command line."""
    import warnings

    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # one for each file that is read
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)


def passed_on(verb: str, what: str, example: str) -> argparse.ArgumentParser:
    """Return the parser of a verb whose arguments another module parses, and lists after its help."""
    made = verb_parser(verb, what, example, add_help=False, usage=f"lobster {verb} [arguments]")
    made.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    return made


def asks_for_help(words: list[str]) -> bool:
    """Say whether a verb's help is wanted."""
    return not words or "-h" in words or "--help" in words
