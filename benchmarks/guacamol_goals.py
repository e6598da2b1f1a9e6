"""GuacaMol's goal-directed suites, through the package's own interface. Prints JSON a benchmark, then a table.

    python benchmarks/guacamol_goals.py --output runs/guacamol    # 10,000 calls each; the same command goes on
    python benchmarks/guacamol_goals.py --output runs/guacamol --suite trivial --benchmarks QED "CNS MPO"

Protocol: Brown et al., "GuacaMol: Benchmarking Models for de Novo Molecular Design", J. Chem. Inf. Model. 2019. The
score of a benchmark is the mean over its best molecules, 1, 10 and 100 of them in most, told apart without
stereochemistry. GuacaMol limits no calls; here each benchmark has a budget of them, so that what is published with more
is no measure of it.
Needs the packages that `make test` installs: `pip install --no-deps guacamol fcd`.
"""

import argparse
import json
import re
import time
from pathlib import Path

import numpy
import scipy

scipy.histogram = numpy.histogram  # guacamol imports it, SciPy no longer has it

from guacamol.benchmark_suites import goal_directed_benchmark_suite  # noqa: E402
from guacamol.goal_directed_generator import GoalDirectedGenerator  # noqa: E402
from guacamol.scoring_function import ScoringFunction  # noqa: E402
from guacamol.utils.chemistry import canonicalize_list  # noqa: E402

from lobster.optimisation import optimise  # noqa: E402
from lobster.quiet import silence_libraries  # noqa: E402


class Optimiser(GoalDirectedGenerator):
    """`optimise`, as GuacaMol asks for molecules.

    Args:
        budget: How many different molecules the score may be asked about.
        folder: Where the search is kept, and gone on with; by default nowhere.
        policy: The language model to start from.
        seed: Of everything that is drawn.
    """

    def __init__(self, budget: int, folder: Path | None = None, policy: str = "smiles-policy-7M", seed: int = 0):
        self.settings = {"budget": budget, "policy": policy, "output_dir": folder, "resume": True, "seed": seed}

    def generate_optimized_molecules(
        self, scoring_function: ScoringFunction, number_molecules: int, starting_population: list[str] | None = None
    ) -> list[str]:
        """Return the best molecules, of stereoisomers one."""
        result = optimise(scoring_function.score, **self.settings, device="cpu", start=starting_population or [])
        ranked = [smiles for smiles, _ in result.best(len(result.molecules))]
        return canonicalize_list(ranked, include_stereocenters=False)[:number_molecules]


def main() -> None:
    """Run the benchmarks, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, type=Path, help="folder for a search a benchmark")
    parser.add_argument("--suite", choices=["v1", "v2", "trivial"], default="v2")
    parser.add_argument(
        "--benchmarks", nargs="+", metavar="NAME", help="by GuacaMol's names; all of the suite by default"
    )
    parser.add_argument("--budget", type=int, default=10_000)
    parser.add_argument("--policy", default="smiles-policy-7M")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    suite = {benchmark.name: benchmark for benchmark in goal_directed_benchmark_suite(arguments.suite)}
    names = arguments.benchmarks or list(suite)
    if unknown := [name for name in names if name not in suite]:
        parser.error(
            f"no benchmark of {arguments.suite} is called {unknown[0]!r}: expected {', '.join(map(repr, suite))}"
        )
    silence_libraries()
    rows = []
    for name in names:
        folder = arguments.output / re.sub(r"\W+", "_", f"{arguments.suite} {name} {arguments.seed}")
        begun = time.process_time()
        result = suite[name].assess_model(Optimiser(arguments.budget, folder, arguments.policy, arguments.seed))
        (folder / "guacamol.json").write_text(json.dumps(vars(result), indent=1))
        rows.append(
            {
                "benchmark": name,
                "score": round(result.score, 4),
                "best": round(result.optimized_molecules[0][1], 4),
                "similarity": round(float(result.metadata["internal_similarity_mean"]), 2),
                "cpu_seconds": round(time.process_time() - begun),
                "molecule": result.optimized_molecules[0][0],
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    print(table(rows))


def table(rows: list[dict]) -> str:
    """Return the figures in Markdown."""
    figures = ("score", "best", "similarity", "cpu_seconds")
    lines = ["| benchmark | " + " | ".join(figures) + " |", "|---" * (len(figures) + 1) + "|"]
    lines += [f"| {row['benchmark']} | " + " | ".join(f"{row[figure]:g}" for figure in figures) + " |" for row in rows]
    return "\n".join([*lines, f"| sum | {sum(row['score'] for row in rows):.3f} | | | |"])


if __name__ == "__main__":
    main()
