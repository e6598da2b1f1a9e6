"""Speed of the reward: its matrix FLOP/s over the machine's own peak, and against one sequence at a time. Prints JSON.

    python benchmarks/reward_throughput.py --ume ume-mini-base-12M

Both ratios come from one run on one machine. FLOPs counted are those of the matrix products that the scores need (2 a
multiply-add; real tokens, no padding; the head at masked positions alone).
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch

from lobster.constants import Modality
from lobster.device import peak_flops
from lobster.model import Ume

SEQUENCES = {
    Modality.SMILES: ["Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1", "CC(=O)Oc1ccccc1C(=O)O"],
    Modality.AMINO_ACID: ["MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG" * 4],
}


def seconds(work: Callable[[], Any], repeats: int = 3) -> float:
    """Return the shortest time of a piece of work."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def scoring_flops(ume: Ume, sequences: list[str], modality: Modality) -> float:
    """Return the matrix FLOPs that strided scoring of the sequences takes."""
    c = ume.model.config
    total = 0.0
    for ids in ume.tokenize(sequences, modality):
        n, passes = len(ids), min(round(1 / c.mask_rate), len(ids) - 2)
        layer = n * (4 * c.hidden_size**2 + 2 * c.hidden_size * c.intermediate_size) + 2 * n * n * c.hidden_size
        head = (n - 2) * (c.hidden_size**2 + c.hidden_size * c.vocab_size)
        total += 2 * (passes * c.num_hidden_layers * layer + head)
    return total


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ume", default="ume-mini-base-12M")
    parser.add_argument("--device")
    parser.add_argument("--count", type=int, default=64, help="distinct sequences of each modality")
    arguments = parser.parse_args()
    ume = Ume.from_pretrained(arguments.ume, device=arguments.device).freeze()
    peak = peak_flops(ume.device, ume.model.dtype)
    report: dict[str, Any] = {"ume": arguments.ume, "device": str(ume.device), "peak_gflops": round(peak / 1e9, 1)}
    for modality, seeds in SEQUENCES.items():
        sequences = [seed[: len(seed) - i] for i in range(arguments.count // len(seeds)) for seed in seeds]
        sequences = list(dict.fromkeys(s for s in sequences if len(s) > 8))
        batched = seconds(lambda s=sequences, m=modality: ume.compute_pseudo_likelihood(s, m))
        alone = seconds(lambda s=sequences, m=modality: [ume.compute_pseudo_likelihood([x], m) for x in s], 1)
        report[modality.value] = {
            "sequences": len(sequences),
            "sequences_per_second": round(len(sequences) / batched, 1),
            "share_of_peak": round(scoring_flops(ume, sequences, modality) / batched / peak, 3),
            "speed_up_over_one_at_a_time": round(alone / batched, 2),
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
