"""How long imports take, each in a process of its own: medians of five. Prints JSON and a table.

python benchmarks/import_time.py
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from typing import Any

from measuring import show

MODULES = (
    "lobster",
    "lobster.cli.main",
    "lobster.sequences",
    "torch",
    "transformers.modeling_utils",
    "lobster.model",
    "trl.trainer.grpo_trainer",
    "lobster.rl_training",
    "lobster.rl_training.trainers",
)
PROGRAM = """
import time
wall, cpu = time.perf_counter(), time.process_time()
import {}
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def rows(repeats: int) -> Iterator[dict[str, Any]]:
    """Measure each module."""
    for module in MODULES:
        program = [sys.executable, "-c", PROGRAM.format(module)]
        runs = [subprocess.run(program, capture_output=True, text=True, check=True).stdout for _ in range(repeats)]
        wall, cpu = (median(column) for column in zip(*(map(float, run.split()) for run in runs), strict=True))
        yield {"import": module, "wall (s)": round(wall, 3), "cpu (s)": round(cpu, 3)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    show({"python": sys.version.split()[0]}, rows(parser.parse_args().repeats))


if __name__ == "__main__":
    main()
