"""What a search's policy learns by: the likelihood of the best molecules (the default), REINVENT's augmented likelihood, or not at all.

    OMP_NUM_THREADS=1 python benchmarks/learning.py --tasks celecoxib_rediscovery median1 --seeds 0 1 2

Augmented likelihood (Olivecrona et al., "Molecular de-novo design through deep reinforcement learning", J. Cheminf. 2017): the square
of log p_prior + sigma x score - log p, of the same replayed molecules in the same spellings; the prior is the policy as it began.
Prints JSON a search, then the means.
"""

import argparse
import json
import time
from collections.abc import Sequence
from statistics import fmean

import pandas as pd
import torch

from lobster.optimisation.oracle import asked
from lobster.optimisation.search import LEARNING_RATE, REPLAY, REPLAY_BATCH, Search
from lobster.optimisation.writer import Writer
from lobster.quiet import silence_libraries
from lobster.scoring.guacamol import OBJECTIVES

TASKS = ["celecoxib_rediscovery", "median1", "perindopril_mpo", "zaleplon_mpo", "fexofenadine_mpo"]


class Augmented(Search):
    """A search whose policy learns by the augmented likelihood."""

    sigma: float
    prior: Writer

    def _learn(self, ranked: Sequence[str], steps: int) -> None:
        for _ in range(steps):
            drawn = [self._drawn(ranked[:REPLAY]) for _ in range(REPLAY_BATCH)]
            texts, scores = [self._spelled(one) for one in drawn], torch.tensor([self.scores[one] for one in drawn])
            with torch.no_grad():
                wanted = self.prior.log_likelihoods(texts) + self.sigma * scores
            self._writer.step((wanted - self._writer.log_likelihoods(texts)).square().mean())


class Unlearned(Search):
    """A search whose policy stays as it is."""

    def _learn(self, ranked: Sequence[str], steps: int) -> None:
        pass


def measure(task: str, loss: str, seed: int, budget: int, policy: str) -> dict:
    """Return the figures of one search."""
    begun = time.process_time()
    kind = {"likelihood": Search, "none": Unlearned}.get(loss, Augmented)
    search = kind(asked(OBJECTIVES[task], False), budget, policy, seed, "cpu")
    if isinstance(search, Augmented):
        search.sigma, search.prior = float(loss), Writer(policy, LEARNING_RATE, seed, torch.device("cpu"))
    while len(search.scores) < budget:
        search.round()
    result = search.result
    return {
        "task": task,
        "loss": loss,
        "seed": seed,
        "auc_top10": round(result.area(), 4),
        "top10": round(fmean(score for _, score in result.best(10)), 4),
        "cpu_seconds": round(time.process_time() - begun),
    }


def main() -> None:
    """Run the searches, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=list(OBJECTIVES), default=TASKS, metavar="TASK")
    parser.add_argument(
        "--losses", nargs="+", default=["likelihood", "none", "60", "500"], help="a number is augmented's sigma"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--policy", default="smiles-policy-7M")
    arguments = parser.parse_args()
    silence_libraries()
    rows = []
    for seed in arguments.seeds:
        for task in arguments.tasks:
            for loss in arguments.losses:
                rows.append(measure(task, loss, seed, arguments.budget, arguments.policy))
                print(json.dumps(rows[-1]), flush=True)
    print(pd.DataFrame(rows).pivot_table("auc_top10", "task", "loss", margins=True).round(3).to_string())


if __name__ == "__main__":
    main()
