"""What 8-bit products are worth on a CPU: PyTorch's dynamic quantisation of all linear layers, beside float32. JSON lines.

OMP_NUM_THREADS=1 python benchmarks/int8.py --data DATA

- ``spearman``, ``cosine``: of log scores (K = 4) with those of float32; the cosine of what is left without their mean, as GRPO reads them.
- ``flipped``: share of pairs whose order changes. ``best tenth kept``: share of the best tenth that stays there.
- ``moved by neighbours``: greatest change, in nats, of a sequence's log score when it is scored alone.
- ``times as fast``: median of chunks, in CPU time.
"""

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import CLOCKS, real_sequences

from lobster.constants import Modality
from lobster.evaluation.scorecard import spearman
from lobster.model import Ume

LETTERS = 210  # of a protein or gene


def main() -> None:
    """Measure each encoder and modality."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ume", nargs="+", default=["ume-nano-base-3M", "ume-mini-base-12M"])
    parser.add_argument("--count", type=int, default=200, help="sequences of each modality")
    arguments = parser.parse_args()
    for name in arguments.ume:
        ume = Ume.from_pretrained(name, device="cpu").freeze()
        small = copy.copy(ume)
        small.model = torch.ao.quantization.quantize_dynamic(
            copy.deepcopy(ume.model), {torch.nn.Linear}, dtype=torch.qint8
        )
        for modality in Modality:
            sequences = real_sequences(arguments.data, modality, arguments.count)
            if modality is not Modality.SMILES:
                sequences = [s[:LETTERS] for s in sequences]
            print(
                json.dumps({"ume": name, "modality": modality} | compare(ume, small, sequences, modality)), flush=True
            )


def compare(ume: Ume, small: Ume, sequences: list[str], modality: Modality) -> dict[str, Any]:
    """Compare scores and time of an encoder and its 8-bit copy."""
    chunks = [sequences[i : i + 50] for i in range(0, len(sequences), 50)]
    found = [(timed(ume, chunk, modality), timed(small, chunk, modality)) for chunk in chunks]
    one, other = (np.concatenate([pair[i][0] for pair in found]) for i in (0, 1))
    alone = [timed(small, [sequence], modality)[0][0] for sequence in chunks[0]]
    i, j = np.triu_indices(len(one), 1)
    tenth = max(1, len(one) // 10)
    a, b = one - one.mean(), other - other.mean()
    figures = {
        "spearman": spearman(one, other),
        "cosine": a @ b / np.linalg.norm(a) / np.linalg.norm(b),
        "flipped": np.mean((one[i] > one[j]) != (other[i] > other[j])),
        "best tenth kept": len(set(np.argsort(one)[-tenth:]) & set(np.argsort(other)[-tenth:])) / tenth,
        "moved by neighbours": np.abs(other[: len(alone)] - alone).max(),
        "spread": one.std(),
        "times as fast": np.median([before[1] / after[1] for before, after in found]),
    }
    return {"sequences": len(one)} | {name: round(float(value), 4) for name, value in figures.items()}


def timed(ume: Ume, sequences: list[str], modality: Modality) -> tuple[np.ndarray, float]:
    """Return log scores, and the seconds of CPU that they took."""
    start = CLOCKS["cpu"]()
    scores = np.log(ume.compute_pseudo_likelihood(sequences, modality, method=4))
    return scores, CLOCKS["cpu"]() - start


if __name__ == "__main__":
    main()
