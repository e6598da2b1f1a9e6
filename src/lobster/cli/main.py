"""`lobster VERB …`: finds the verb, and says what went wrong in one line."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import lobster

VERBS = {
    "demo": "see it work: a policy before and after a few minutes of GRPO",
    "grpo": "reinforce a policy of yours, from YAML and flags",
    "optimise": "find the best molecules within a number of calls of an oracle",
    "score": "score a file of sequences",
    "serve": "score over HTTP, for trainings that run elsewhere",
    "sample": "let a policy write",
    "pretrain": "train an encoder or a starting policy",
    "evaluate": "measure an encoder, a policy or a file of samples",
    "report": "write one HTML page that shows a run, or compares several",
    "family": "find the relatives of a protein",
    "adapt": "adapt an encoder to a family of proteins",
    "mutants": "score mutants of a protein that were measured",
    "models": "what ships: sizes and cards",
    "doctor": "what is installed, what is missing, whether a run can be resumed",
    "completion": "print a completion script for a shell",
}
_WITH_OWN_DEBUG = ("grpo",)  # transformers has an argument of that name
_DESCRIPTION = "Reinforcement-learning post-training for language models of molecules."


def top_parser() -> argparse.ArgumentParser:
    """Return the arguments that stand before a verb."""
    verbs = "\n".join(f"  {verb:<12}{what}" for verb, what in VERBS.items())
    parser = argparse.ArgumentParser(
        prog="lobster",
        usage="lobster [--version] [--debug] VERB …",
        description=_DESCRIPTION,
        epilog=f"verbs:\n{verbs}\n\nlobster VERB --help lists its arguments, with an example. Begin with: lobster demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lobster {lobster.__version__}")
    parser.add_argument("--debug", action="store_true", help="show the trace of an error")
    return parser


def verb_module(verb: str) -> Any:
    """Return the module of a verb."""
    return import_module(f"lobster.cli.{verb}")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, 1 for a failure, 2 for wrong usage, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if words is None else words)
    parser = top_parser()
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help=argparse.SUPPRESS)
    parser.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    if not words:
        parser.print_help(sys.stderr)
        return 2
    arguments = parser.parse_args(words)
    if arguments.verb not in _WITH_OWN_DEBUG and "--debug" in arguments.words:
        arguments.words.remove("--debug")
        arguments.debug = True
    try:
        status = verb_module(arguments.verb).run(arguments.words) or 0
        sys.stdout.flush()
        return status
    except KeyboardInterrupt as interruption:
        print(f"\n{interruption or 'stopped'}", file=sys.stderr)
        return 130  # what a shell expects of a program that was interrupted
    except BrokenPipeError:  # whoever read has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if arguments.debug:
            raise
        print(f"error: {_in_one_line(error)}", file=sys.stderr)
        return 1


def _in_one_line(error: Exception) -> str:
    """Say what was raised on purpose as it was said, and what was not with its kind and where to see more."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split())
    if text and isinstance(error, (OSError, ValueError, TypeError, ImportError, RuntimeError, ArithmeticError)):
        return text
    return f"{type(error).__name__}: {text} (lobster --debug shows the trace)"
