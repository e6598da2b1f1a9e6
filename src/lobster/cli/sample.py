"""`lobster sample`: a policy writes, one sequence a line."""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

from lobster.cli.common import importing, verb_parser

EXAMPLE = "lobster sample smiles-policy-3M --count 10"


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    made = verb_parser("sample", "Let a policy write, one sequence a line.", EXAMPLE)
    made.add_argument("policy", help="a name that ships, a run's folder or a Hub id; whole, or a LoRA adapter")
    made.add_argument("--count", type=int, default=100, help="how many (%(default)s)")
    begin = made.add_mutually_exclusive_group()
    begin.add_argument("--prompt", default="", help="what they continue (nothing)")
    begin.add_argument(
        "--fragment",
        nargs="+",
        metavar="SMILES",
        help="one to grow at each *, or two with a * each to link; written are the whole molecules",
    )
    made.add_argument(
        "--max_new_tokens", type=int, default=126, help="where one that does not end is cut (%(default)s)"
    )
    made.add_argument("--temperature", type=float, default=1.0, help="of the softmax (%(default)s)")
    made.add_argument("--batch_size", type=int, default=128, help="written at a time (%(default)s)")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--device", help="cuda or cpu; CUDA where there is one")
    made.add_argument("--output", help="file to write to, instead of the screen")
    return made


def run(words: list[str]) -> None:
    """Sample."""
    made = parser()
    arguments = made.parse_args(words)
    fragments = arguments.fragment or []
    for name in ("count", "batch_size", "max_new_tokens"):
        if getattr(arguments, name) < 1:
            made.error(f"--{name} is {getattr(arguments, name)}: expected at least 1")
    if arguments.output and (Path(arguments.output).is_dir() or not Path(arguments.output).parent.is_dir()):
        made.error(f"--output is {arguments.output}: expected a file, in a folder that exists")
    if len(fragments) > 2:
        made.error(f"--fragment has {len(fragments)} SMILES: expected one to grow, or two to link")
    with importing():
        from lobster.device import resolve_device
        from lobster.evaluation import fill_in, grow, sample
        from lobster.model.policies import load_policy
        from lobster.prompts import linker_prompts
        from lobster.sequences.files import as_line

    model, tokenizer = load_policy(arguments.policy)
    model = model.to(resolve_device(arguments.device))
    names = ("count", "max_new_tokens", "batch_size", "temperature", "seed")
    how = {name: getattr(arguments, name) for name in names}
    with open(arguments.output, "w", encoding="utf-8") if arguments.output else nullcontext(sys.stdout) as stream:

        def show(written: list[str]) -> None:
            stream.write("".join(f"{as_line(one)}\n" for one in written))
            stream.flush()  # an interruption loses nothing

        match fragments:
            case []:
                sample(model, tokenizer, prompt=arguments.prompt, on_batch=show, **how)
            case [fragment]:
                show(grow(model, tokenizer, fragment, **how))
            case [first, second]:
                prompts = linker_prompts(first, second, arguments.count, arguments.seed)
                show(fill_in(model, tokenizer, prompts, **how))
