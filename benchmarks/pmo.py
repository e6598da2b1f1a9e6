"""The tasks of PMO: sample-efficient optimisation, as the area under the curve of the ten best.

    python benchmarks/pmo.py --output runs/pmo                             # the 20 that need RDKit alone, 10,000 calls each
    python benchmarks/pmo.py --output runs/pmo --seeds 0 1 2 --processes 16    # the same command goes on with what was stopped
    python benchmarks/pmo.py --table benchmarks/pmo.jsonl                      # what was measured here, as in docs/pmo.md

Protocol: Gao et al., "Sample Efficiency Matters: A Benchmark for Practical Molecular Optimization", NeurIPS 2022; every 100 calls
the mean of the ten best so far, by trapezoids. Beside the published figures (means of runs with several seeds) it measures what
was found: the share of the hundred best that has no structural alert (PAINS, BRENK) and a synthetic accessibility of at most 4.5.
The other three ask classifiers that PyTDC downloads: `--tdc PYTHON FOLDER` where you have them (`tdc_classifiers.py` says what they
need). Prints JSON a task, then the table; the lines of several runs make one table with `--table`.
"""

import argparse
import json
import multiprocessing
import shlex
import time
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

import torch

from lobster.optimisation import optimise
from lobster.optimisation.oracle import Oracle
from lobster.quiet import silence_libraries
from lobster.scoring import Component
from lobster.scoring.guacamol import OBJECTIVES
from lobster.scoring.molecules import alerts, sa_score

# AUC top-10 of REINVENT (Gao et al. 2022) and Genetic GFN (Kim et al., "Genetic-guided GFlowNets", NeurIPS 2024), as table 1 of Lee
# et al., "Molecule Generation with Fragment Retrieval Augmentation", NeurIPS 2024, collects them.
PUBLISHED = {
    "albuterol_similarity": (0.882, 0.949),
    "amlodipine_mpo": (0.635, 0.761),
    "celecoxib_rediscovery": (0.710, 0.802),
    "deco_hop": (0.666, 0.733),
    "drd2": (0.945, 0.974),
    "fexofenadine_mpo": (0.784, 0.856),
    "gsk3b": (0.865, 0.881),
    "isomers_c7h8n2o2": (0.852, 0.969),
    "isomers_c9h10n2o2pf2cl": (0.642, 0.897),
    "jnk3": (0.783, 0.764),
    "median1": (0.356, 0.379),
    "median2": (0.276, 0.294),
    "mestranol_similarity": (0.618, 0.708),
    "osimertinib_mpo": (0.837, 0.860),
    "perindopril_mpo": (0.537, 0.595),
    "qed": (0.941, 0.942),
    "ranolazine_mpo": (0.760, 0.819),
    "scaffold_hop": (0.560, 0.615),
    "sitagliptin_mpo": (0.021, 0.634),
    "thiothixene_rediscovery": (0.534, 0.583),
    "troglitazone_rediscovery": (0.441, 0.511),
    "valsartan_smarts": (0.178, 0.135),
    "zaleplon_mpo": (0.358, 0.552),
}
CLASSIFIERS = "drd2", "gsk3b", "jnk3"


def main() -> None:
    """Run the tasks, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--output", help="folder for a search a task and seed")
    what.add_argument("--table", nargs="+", type=Path, metavar="FILE", help="print the table of lines printed before")
    parser.add_argument("--tasks", nargs="+", choices=list(PUBLISHED), metavar="TASK")
    parser.add_argument(
        "--tdc", nargs=2, default=[], metavar=("PYTHON", "FOLDER"), help="TDC's classifiers, and what runs them"
    )
    parser.add_argument("--budget", type=int, default=10_000)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--policy", default="smiles-policy-7M")
    parser.add_argument(
        "--processes", type=int, default=1, help="searches at a time, a thread each where more than one"
    )
    arguments = parser.parse_args()
    if arguments.table:
        lines = [line for file in arguments.table for line in file.read_text().splitlines()]
        print(table([json.loads(line) for line in lines if line.startswith("{")]))
        return
    tasks = arguments.tasks or [task for task in PUBLISHED if arguments.tdc or task not in CLASSIFIERS]
    if not arguments.tdc and (unknown := sorted(set(tasks) & set(CLASSIFIERS))):
        parser.error(f"{', '.join(unknown)} are asked of TDC's classifiers: pass --tdc PYTHON FOLDER")
    jobs = [(task, seed) for seed in arguments.seeds for task in tasks]
    settings = {"budget": arguments.budget, "policy": arguments.policy, "tdc": arguments.tdc}
    do = partial(measure, folder=Path(arguments.output), **settings)
    rows = []
    if arguments.processes == 1:
        found = map(do, jobs)
    else:
        pool = multiprocessing.get_context("spawn").Pool(arguments.processes, torch.set_num_threads, (1,))
        found = pool.imap_unordered(do, jobs)
    for row in found:
        rows.append(row)
        print(json.dumps(row), flush=True)
    print(table(rows))


def oracle(task: str, tdc: list[str]) -> Oracle:
    """Return what says how good a molecule is."""
    if task not in CLASSIFIERS:
        return OBJECTIVES[task]
    python, folder = tdc
    words = [python, str(Path(__file__).with_name("tdc_classifiers.py")), task, folder]
    return Component("command", command=f"{shlex.join(words)} {{input}} {{output}}", cache=False)


def measure(job: tuple[str, int], folder: Path, budget: int, policy: str, tdc: list[str]) -> dict:
    """Return the figures of one task and seed; seconds are those of this process since it began or went on."""
    silence_libraries()
    task, seed = job
    begun, cpu = time.monotonic(), time.process_time()
    result = optimise(
        oracle(task, tdc), budget, policy, folder / f"{task}-{seed}", resume=True, seed=seed, device="cpu"
    )
    best = result.best(100)
    molecules = [molecule for molecule, _ in best]
    return {
        "task": task,
        "seed": seed,
        "auc_top10": round(result.area(), 4),
        "top10": round(fmean(score for _, score in best[:10]), 4),
        "no_alerts": round(fmean(map(alerts, molecules)), 2),
        "accessible": round(fmean(sa_score(molecule) <= 4.5 for molecule in molecules), 2),
        "seconds": round(time.monotonic() - begun),
        "cpu_seconds": round(time.process_time() - cpu),
        "best": best[0][0],
    }


def table(rows: list[dict]) -> str:
    """Return the figures beside the published ones, in Markdown: means over the seeds, the area with its standard deviation."""
    lines = ["| task | REINVENT | Genetic GFN | lobster | seeds | ten best | no alerts | SA ≤ 4.5 |", "|" + " -- |" * 8]
    sums = [0.0, 0.0, 0.0]
    for task in PUBLISHED:
        if not (found := [row for row in rows if row["task"] == task]):
            continue
        areas, ten, quiet, easy = (
            [row[name] for row in found] for name in ("auc_top10", "top10", "no_alerts", "accessible")
        )
        figures = [*PUBLISHED[task], fmean(areas)]
        sums = [total + figure for total, figure in zip(sums, figures, strict=True)]
        shown = _best_bold(figures, 3)
        if len(areas) > 1:
            shown[-1] += f" ± {stdev(areas):.3f}"
        rest = [str(len(found)), f"{fmean(ten):.3f}", f"{100 * fmean(quiet):.0f} %", f"{100 * fmean(easy):.0f} %"]
        lines.append(f"| {task} | {' | '.join([*shown, *rest])} |")
    return "\n".join([*lines, f"| sum | {' | '.join(_best_bold(sums, 2))} | | | | |"])


def _best_bold(figures: list[float], digits: int) -> list[str]:
    shown = [round(figure, digits) for figure in figures]
    return [f"**{one:.{digits}f}**" if one == max(shown) else f"{one:.{digits}f}" for one in shown]


if __name__ == "__main__":
    main()
