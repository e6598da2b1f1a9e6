"""Speed of the reward, beside what one would write or pick instead. Prints JSON and a table.

    python benchmarks/reward.py --data ../shared/data --ume ume-mini-base-12M
    OMP_NUM_THREADS=1 python benchmarks/reward.py --data ../shared/data --clock cpu     # on a machine that others use

Each row is a modality, so many sequences a call, and a number of masked copies K:

- ``share of peak``: FLOP/s of the matrix products that scores need (2 a multiply-add; no padding; of the last layer and the head what
  the masked positions take) over those of a large product, measured before and after. ``of all states``: the same with all states of
  all layers counted, whether they are needed or not.
- ``× padded``: how many times the same scores, of the same masked copies, take the usual loop: in the order in which they come,
  so many to a padded batch, with logits of every token and their softmax.
- ``× minicons``: the same for that library, where it is installed (`pip install minicons`); it masks one token a copy, as K = exact does.
- ``× warm``: how many times less a second call of `UmeRewardFunction` takes, whose scores are known.

What would take longer than `--longest` seconds a call is left out.
"""

import argparse
import resource
from collections.abc import Iterator, Sequence
from copy import copy
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch
from measuring import CLOCKS, beside_peak, real_sequences, seconds, show

from lobster.constants import Modality
from lobster.device import peak_flops
from lobster.model import Ume
from lobster.model.pseudo_likelihood import Method, scoring_rows
from lobster.rl_training import UmeRewardFunction


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ume", default="ume-mini-base-12M")
    parser.add_argument("--device")
    parser.add_argument("--modalities", nargs="+", type=Modality, default=list(Modality))
    parser.add_argument("--sizes", nargs="+", type=int, default=[8, 64], help="sequences a call")
    parser.add_argument("--methods", nargs="+", default=["1", "4", "exact"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--longest", type=float, default=10)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    ume = Ume.from_pretrained(arguments.ume, device=arguments.device).freeze()
    peak = peak_flops(ume.device, ume.model.dtype, clock=CLOCKS[arguments.clock])
    facts = {
        "ume": arguments.ume,
        "device": str(ume.device),
        "threads": torch.get_num_threads(),
        "clock": arguments.clock,
        "peak GFLOP/s": round(peak / 1e9),
    }
    show(facts, rows(ume, peak, arguments))


def rows(ume: Ume, peak: float, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure every modality, number of sequences and method."""
    for modality in arguments.modalities:
        for size in arguments.sizes:
            sequences = real_sequences(arguments.data, modality, size)
            for method in [m if m == "exact" else int(m) for m in arguments.methods]:
                row = {"modality": modality.value, "sequences": size, "K": method}
                if 2 * flops(ume, sequences, modality, method) / peak > arguments.longest:
                    yield row | {"left out": "longer than --longest"}
                else:
                    yield row | measure(ume, sequences, modality, method, arguments)


def measure(
    ume: Ume, sequences: list[str], modality: Modality, method: Method, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Measure one of them."""

    def ours() -> None:
        ume.compute_pseudo_likelihood(sequences, modality, method=method, long_sequences=windows(modality))

    def usual() -> float:
        return seconds(lambda: padded(ume, sequences, modality, method), arguments.clock)

    ours()
    took, at_peak = beside_peak(ours, ume, arguments.repeats, arguments.clock)
    tokens = sum(map(len, ume.tokenize(sequences, modality)))
    found = {
        "sequences/s": round(len(sequences) / took, 1),
        "tokens/s": round(tokens / took),
        "share of peak": round(flops(ume, sequences, modality, method) / at_peak, 3),
        "of all states": round(flops(ume, sequences, modality, method, all_states=True) / at_peak, 3),
        "× padded": round(median(usual() for _ in range(arguments.repeats)) / took, 1),
    }
    if method == "exact" and modality is Modality.SMILES and find_spec("minicons"):
        theirs = [
            seconds(lambda: by_minicons(ume, sequences, modality), arguments.clock) for _ in range(arguments.repeats)
        ]
        found["× minicons"] = round(median(theirs) / took, 1)
    if method == 4:
        reward = UmeRewardFunction(ume, long_sequences=windows(modality))
        cold, warm = (seconds(lambda: reward(sequences, modality), arguments.clock) for _ in range(2))
        found |= {"reward (s)": round(cold, 3), "× warm": round(cold / warm)}
    return found | {"peak memory (MB)": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def windows(modality: Modality) -> Any:
    """Return how sequences beyond the encoder's length are scored."""
    return "refuse" if modality is Modality.SMILES else "windows"


def flops(ume: Ume, sequences: Sequence[str], modality: Modality, method: Method, all_states: bool = False) -> float:
    """Return the FLOPs of the matrix products that scores take; of genes beyond the encoder's length about as many."""
    config = ume.model.config
    width, ids = config.hidden_size, ume.tokenize(sequences, modality)
    rest = width**2 + 2 * width * config.intermediate_size  # of a layer, behind its attention
    total = 0
    for i, positions in scoring_rows(ume.model, ids, method):
        n, masked = len(ids[i]), len(positions)
        attention = 3 * n * width**2 + 2 * n * n * width
        last = n if all_states else masked
        total += (config.num_hidden_layers - 1) * (attention + n * rest) + attention + last * rest
        total += masked * (width**2 + width * config.vocab_size)
    return 2.0 * total


@torch.inference_mode()
def padded(ume: Ume, sequences: Sequence[str], modality: Modality, method: Method, batch_size: int = 64) -> list[float]:
    """Return mean log-probabilities as the usual loop finds them."""
    tokenizer, ids = ume.get_tokenizer(modality), ume.tokenize(sequences, modality)
    copies = scoring_rows(ume.model, ids, method)
    sums = [0.0] * len(ids)
    for start in range(0, len(copies), batch_size):
        batch = copies[start : start + batch_size]
        real = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids[i]) for i, _ in batch], True, tokenizer.pad_token_id)
        masked = real.clone()
        for row, (_, positions) in enumerate(batch):
            masked[row, positions] = tokenizer.mask_token_id
        mask = (real != tokenizer.pad_token_id).long()
        log_p = ume.model(input_ids=masked.to(ume.device), attention_mask=mask.to(ume.device)).logits.log_softmax(-1)
        log_p = log_p.gather(-1, real[..., None].to(ume.device))[..., 0].cpu()
        for row, (i, positions) in enumerate(batch):
            sums[i] += float(log_p[row, positions].sum())
    return [total / (len(row) - 2) for total, row in zip(sums, ids, strict=True)]


def by_minicons(ume: Ume, sequences: Sequence[str], modality: Modality, batch_size: int = 8) -> list[float]:
    """Return mean log-probabilities as minicons finds them (Misra, "minicons", 2022), so many sequences a call."""
    from minicons.scorer import MaskedLMScorer

    tokenizer = copy(ume.get_tokenizer(modality))
    tokenizer.sep_token = tokenizer.eos_token  # what it does not score
    tokenizer.batch_encode_plus = tokenizer.__call__  # which transformers 5 has no more
    scorer = MaskedLMScorer(ume.model, str(ume.device), tokenizer)
    starts = range(0, len(sequences), batch_size)
    return [score for start in starts for score in scorer.sequence_score(sequences[start : start + batch_size])]


if __name__ == "__main__":
    main()
