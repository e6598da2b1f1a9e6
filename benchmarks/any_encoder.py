"""What another encoder than a UME is worth as the reward of a SMILES policy, and what it costs. Prints JSON.

python benchmarks/any_encoder.py ENCODER --smiles DATA/smiles/valid.txt.gz
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PrinterCallback

from lobster.evaluation.corruption import swap_tokens
from lobster.model import Encoder, load_encoder
from lobster.rl_training import create_ume_grpo_trainer
from lobster.sequences import canonical_smiles, read_sequences


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", help="a folder or Hub id")
    parser.add_argument("--smiles", required=True, help="file of molecules that it did not learn from")
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    encoder = load_encoder(arguments.encoder, "SMILES")
    print(json.dumps(preference(encoder, read_sequences(arguments.smiles), arguments.pairs)), flush=True)
    print(json.dumps(training(encoder, arguments.steps)), flush=True)


def preference(encoder: Encoder, smiles: Sequence[str], count: int) -> dict[str, Any]:
    """Compare random molecules with themselves after four swaps of tokens, both in canonical form."""
    rng = np.random.default_rng(0)
    pairs: list[tuple[str, str]] = []
    for i in rng.permutation(len(smiles)):
        real = canonical_smiles(smiles[i])
        swapped = canonical_smiles(swap_tokens(real, rng) or "") if real else None
        if real and swapped and None not in encoder.read([real, swapped], "SMILES", errors="null"):
            pairs.append((real, swapped))
        if len(pairs) == count:
            break
    real_ones, swapped_ones = (
        np.array(encoder.compute_pseudo_likelihood(some, "SMILES")) for some in zip(*pairs, strict=True)
    )
    return {
        "pairs": len(pairs),
        "the real one wins": round(float((real_ones > swapped_ones).mean()), 3),
        "pseudo-likelihood of real": round(float(real_ones.mean()), 3),
        "of swapped": round(float(swapped_ones.mean()), 3),
    }


def training(encoder: Encoder, steps: int) -> dict[str, Any]:
    """Reinforce the SMILES policy that ships, and tell what a step's time goes to."""
    prompts = Dataset.from_dict({"prompt": [""], "modality": ["SMILES"]})
    spent: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as output_dir:
        trainer: Any = create_ume_grpo_trainer(
            "smiles-policy-3M", encoder, prompts, output_dir=output_dir, batch_size=32, num_generations=32, max_steps=steps,
            learning_rate=5e-4, max_completion_length=100, logging_steps=1, save_strategy="no", disable_tqdm=True, seed=0,
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        encoder.token_log_probabilities = timed(encoder.token_log_probabilities, spent, "encoder")  # type: ignore[method-assign]
        trainer.model.generate = timed(trainer.model.generate, spent, "writing")
        function = trainer.ume_reward.reward_function
        function.score_with_faults = timed(function.score_with_faults, spent, "reward")
        start = time.perf_counter()
        trainer.train()
        whole = time.perf_counter() - start
    spent["all else of the reward"] = spent.pop("reward") - spent["encoder"]
    spent["the policy's gradient and all else"] = whole - spent.total()
    logs = [entry for entry in trainer.state.log_history if "reward" in entry]
    return {
        "seconds a step": round(whole / steps, 2),
        "shares": {name: round(seconds / whole, 3) for name, seconds in spent.items()},
        **{
            name: [
                round(float(np.mean([log[f"ume_reward/{name}"] for log in some])), 3) for some in (logs[:5], logs[-5:])
            ]
            for name in ("pseudo_likelihood", "valid", "unique")
        },
        "kl": round(logs[-1]["kl"], 3),
    }


def timed(function: Callable[..., Any], spent: Counter[str], name: str) -> Callable[..., Any]:
    """Return a function that adds the seconds that it takes to a count."""

    def measured(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[name] += time.perf_counter() - start  # type: ignore[assignment]

    return measured


if __name__ == "__main__":
    main()
