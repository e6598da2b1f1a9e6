"""How time and memory of scoring grow with the sequences, their length and the processes; and the diversity memory's with what it holds.

    python benchmarks/scaling.py --data ../shared/data
    python benchmarks/scaling.py --data ../shared/data --counts --lengths --entries 1000000       # the memory alone; needs 5 GB

Each row of scores is a process of its own, of one thread, or two such at once, each with half of the sequences. A row of the memory
is a thousand sequences of different families.
"""

import argparse
import random
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from measuring import real_sequences, seconds, show

from lobster.constants import Modality
from lobster.model import Ume
from lobster.rl_training import DiversityMemory

RESIDUES, BASES = "ACDEFGHIKLMNPQRSTVWY", "acgt"
MEMORIES = ((Modality.AMINO_ACID, RESIDUES, 90), (Modality.NUCLEOTIDE, BASES, 240))


def score(ume_name: str, sequences: list[str], modality: Modality) -> tuple[float, float, float]:
    """Score sequences in a process of one thread; return its wall and CPU time, and its peak memory (MB)."""
    torch.set_num_threads(1)
    ume = Ume.from_pretrained(ume_name, device="cpu").freeze()
    ume.compute_pseudo_likelihood(sequences[:8], modality)
    began = time.process_time()
    wall = seconds(lambda: ume.compute_pseudo_likelihood(sequences, modality))
    return wall, time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(ume: str, sequences: list[str], modality: Modality, processes: int) -> dict[str, Any]:
    """Share sequences among processes, and measure them."""
    shares = [sequences[first::processes] for first in range(processes)]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        found = list(pool.map(score, [ume] * processes, shares, [modality] * processes))
    wall, cpu, memory = (list(column) for column in zip(*found, strict=True))
    return {
        "sequences": len(sequences),
        "letters": round(sum(map(len, sequences)) / len(sequences)),
        "processes": processes,
        "wall (s)": round(max(wall), 2),
        "cpu (s)": round(sum(cpu), 2),
        "ms a sequence (cpu)": round(1e3 * sum(cpu) / len(sequences), 2),
        "peak memory of a process (MB)": round(max(memory)),
    }


def rows(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure by number, by length, and the memory."""
    for count in arguments.counts:
        smiles = real_sequences(arguments.data, Modality.SMILES, count)
        for processes in (1, 2):
            yield {"what": "SMILES"} | measure(arguments.ume, smiles, Modality.SMILES, processes)
    rng = random.Random(0)
    for length in arguments.lengths:
        proteins = ["".join(rng.choices(RESIDUES, k=length)) for _ in range(16)]
        yield {"what": "proteins"} | measure(arguments.ume, proteins, Modality.AMINO_ACID, 1)
    for modality, letters, length in MEMORIES:
        memory = DiversityMemory()
        for start in range(0, arguments.entries, 1000):
            batch = [(modality, "".join(rng.choices(letters, k=length))) for _ in range(1000)]
            took = seconds(lambda memory=memory, batch=batch: memory.pay(batch), "cpu")
            if start in (1000, arguments.entries - 1000):
                yield {"what": f"memory of {modality.value}", "sequences": start, "ms a sequence (cpu)": round(took, 4)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ume", default="ume-nano-base-3M")
    parser.add_argument("--counts", nargs="*", type=int, default=[100, 1000, 10_000])
    parser.add_argument("--lengths", nargs="*", type=int, default=[64, 128, 256, 512, 1022])
    parser.add_argument("--entries", type=int, default=100_000, help="of the diversity memory")
    arguments = parser.parse_args()
    show({"ume": arguments.ume}, rows(arguments))


if __name__ == "__main__":
    main()
