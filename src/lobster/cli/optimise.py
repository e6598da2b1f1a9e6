"""`lobster optimise`: the best molecules that a score knows, within a number of calls."""

import argparse
import math
from pathlib import Path
from statistics import fmean

from lobster.cli.common import importing, verb_parser

EXAMPLE = r"""
printf 'components:\n  - kind: lobster.scoring.guacamol.perindopril_mpo\n' > scoring.yaml
lobster optimise --scoring scoring.yaml --budget 100 --output found
"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    what = (
        "Find the molecules that a score is highest for, asking it about as few as possible.\n"
        "After an interruption --resume goes on, to the same end."
    )
    made = verb_parser("optimise", what, EXAMPLE)
    made.add_argument("--scoring", required=True, help="YAML file of a scoring function, or one component such as qed")
    made.add_argument("--budget", type=int, default=10_000, help="different molecules to ask about (%(default)s)")
    made.add_argument("--output", required=True, help="folder for the molecules, the best of them and the state")
    made.add_argument(
        "--resume", action="store_true", help="go on with the search in that folder, also within a larger budget"
    )
    made.add_argument(
        "--policy", default="smiles-policy-7M", help="a name that ships, a folder or a Hub id (%(default)s)"
    )
    made.add_argument("--start", help="file of molecules to ask about first: a SMILES a line")
    made.add_argument("--encoder", help="of a score that asks one: a name that ships, a folder, a Hub id or a .ckpt")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--device", help="cuda or cpu; CUDA where there is one")
    return made


def run(words: list[str]) -> None:
    """Search, and show the best."""
    arguments = parser().parse_args(words)
    with importing():
        from tqdm import tqdm

        from lobster.model import load_encoder
        from lobster.optimisation import Result, optimise
        from lobster.scoring import Scorer
        from lobster.sequences import read_sequences

    oracle = arguments.scoring
    if arguments.encoder:
        oracle = Scorer(load_encoder(arguments.encoder, "SMILES", arguments.device), arguments.scoring)
    with tqdm(total=arguments.budget, unit="call", desc="best ten", delay=1e-3) as bar:  # from the first round on

        def show(result: Result) -> None:
            bar.set_postfix(
                mean=f"{fmean(scores):.3f}" if (scores := [score for _, score in result.best()]) else "none"
            )
            bar.update(len(result.molecules) - bar.n)

        result = optimise(
            oracle,
            arguments.budget,
            arguments.policy,
            arguments.output,
            arguments.resume,
            arguments.seed,
            device=arguments.device,
            on_round=show,
            start=read_sequences(arguments.start) if arguments.start else (),
        )
    for molecule, score in result.best():
        print(f"{score:.4f}  {molecule}")
    folder = Path(arguments.output)
    failed = sum(map(math.isnan, result.scores))
    picture = folder / "best_molecules.png"
    print(
        f"All {len(result.molecules):,} are in {folder / 'molecules.csv'}"
        + f", the best drawn in {picture}" * picture.exists()
        + f"; {failed:,} have no score, since the oracle failed: --resume asks again" * bool(failed)
    )
