"""What benchmarks of speed share: sequences of real lengths, time, and tables."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch

from lobster.constants import Modality
from lobster.device import peak_flops
from lobster.model import Encoder
from lobster.sequences import read_sequences

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
FILES = {
    Modality.SMILES: "smiles/valid.txt.gz",
    Modality.AMINO_ACID: "protein/valid.fasta.gz",
    Modality.NUCLEOTIDE: "nucleotide/valid.fasta.gz",
}
LENGTHS = {
    Modality.SMILES: range(1, 1000),
    Modality.AMINO_ACID: range(100, 501),
    Modality.NUCLEOTIDE: range(300, 1501),
}


def real_sequences(data: Path, modality: Modality, count: int, seed: int = 0) -> list[str]:
    """Draw different held-out sequences of `LENGTHS`."""
    fit = sorted({s for s in read_sequences(data / FILES[modality]) if len(s) in LENGTHS[modality]})
    return [fit[i] for i in np.random.default_rng(seed).permutation(len(fit))[:count]]


def seconds(work: Callable[[], Any], clock: str = "wall") -> float:
    """Return how long a piece of work takes."""
    start = CLOCKS[clock]()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return CLOCKS[clock]() - start


def beside_peak(work: Callable[[], Any], encoder: Encoder, repeats: int, clock: str = "wall") -> tuple[float, float]:
    """Return the medians of a work's seconds, and of how many FLOPs the machine's peak does meanwhile.

    The peak is measured around each repeat, so that other work on the machine slows both.
    """
    found = []
    for _ in range(repeats):
        rates = [peak_flops(encoder.device, encoder.model.dtype, repeats=2, clock=CLOCKS[clock])]
        took = seconds(work, clock)
        rates.append(peak_flops(encoder.device, encoder.model.dtype, repeats=2, clock=CLOCKS[clock]))
        found.append((took, took * max(rates)))
    return median(took for took, _ in found), median(flops for _, flops in found)


def show(facts: dict[str, Any], rows: Iterable[dict[str, Any]]) -> None:
    """Print JSON, a line for each row, and all of them as a table."""
    print(json.dumps(facts), flush=True)
    kept = []
    for row in rows:
        print(json.dumps(row), flush=True)
        kept.append(row)
    print("\n" + pd.DataFrame(kept).to_string(index=False, na_rep="–"))
