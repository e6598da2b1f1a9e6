"""`lobster grpo`: a run of your own, from YAML and flags."""

import argparse
import os
from typing import Any

from lobster.cli.common import importing, verb_parser

EXAMPLE = """
lobster grpo --example smiles > run.yaml
lobster grpo --config run.yaml --max_steps 20
lobster grpo --config runs/smiles --output_dir runs/again
"""
_WHAT = "Reinforce a policy. Every argument stands in a YAML file or, over it, on the command line; all of TRL's are among them."
_PRINT = "--example smiles|protein|coding|chat prints a commented YAML file that runs as it is."


def parser() -> Any:
    """Return the arguments."""
    from lobster.grpo_command.arguments import run_parser

    shape = verb_parser("grpo", f"{_WHAT}\n{_PRINT}", EXAMPLE)
    return run_parser(shape.prog, shape.description or "", shape.epilog or "")


def run(words: list[str]) -> None:
    """Print an example, or train."""
    from lobster.shipped import example_runs

    printer = argparse.ArgumentParser(prog="lobster grpo", add_help=False, allow_abbrev=False)
    printer.add_argument("--example", choices=list(runs := example_runs()))
    found, rest = printer.parse_known_args(words)
    if found.example:
        if rest:
            printer.error(f"--example prints a file, and takes nothing beside it: {rest[0]}")
        print(runs[found.example], end="")
        return
    with importing():
        from lobster.grpo_command.arguments import parse_run
        from lobster.grpo_command.run import train_run

    folder = train_run(parse_run(parser(), rest))
    if os.environ.get("RANK", "0") == "0":  # of several processes, the first
        print(f"The policy is in {folder}")
