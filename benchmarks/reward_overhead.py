"""What the reward costs besides the UME, as a share of a demo step; and a sequence, as the diversity memory grows. Prints JSON.

python benchmarks/reward_overhead.py --entries 1000000        # needs 5 GB
"""

import argparse
import json
import random
import tempfile
import time
from typing import Any

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback

from lobster.constants import Modality
from lobster.evaluation import sample
from lobster.model import Ume
from lobster.model.checkpoints import find_model
from lobster.rl_training import DiversityMemory, create_ume_grpo_trainer, create_ume_reward_wrapper

RESIDUES, BASES = "ACDEFGHIKLMNPQRSTVWY", "acgt"


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ume", default="ume-nano-base-3M")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--entries", type=int, default=100_000)
    arguments = parser.parse_args()
    print(json.dumps(overhead(Ume.from_pretrained(arguments.ume), arguments.steps)), flush=True)
    for name, modality, letters, length in (
        ("proteins", Modality.AMINO_ACID, RESIDUES, 90),
        ("nucleotides", Modality.NUCLEOTIDE, BASES, 240),
    ):
        print(json.dumps({"memory of": name} | growth(modality, letters, length, arguments.entries)), flush=True)


def overhead(ume: Ume, steps: int) -> dict[str, Any]:
    """Time 64 new molecules through the whole reward and through the UME alone, and steps of the demo."""
    folder = find_model("smiles-policy-3M")
    policy, tokenizer = (
        AutoModelForCausalLM.from_pretrained(folder, dtype="float32"),
        AutoTokenizer.from_pretrained(folder),
    )
    reward = create_ume_reward_wrapper(ume, diversity=DiversityMemory())
    reward(completions=["CCO"], modality=["SMILES"])  # what is made once is made here
    whole = alone = 0.0
    for seed in range(steps):
        completions = sample(policy.to(ume.device), tokenizer, 64, seed=seed)
        start = time.perf_counter()
        reward(completions=completions, modality=["SMILES"] * 64)
        whole += time.perf_counter() - start
        canonical = [s.sequence for s in reward.reward_function.score(completions, ["SMILES"] * 64) if s.molecule]
        start = time.perf_counter()
        ume.compute_pseudo_likelihood(canonical, "SMILES")
        alone += time.perf_counter() - start
    prompts = Dataset.from_dict({"prompt": [""], "modality": ["SMILES"]})
    with tempfile.TemporaryDirectory() as output_dir:
        settings: dict[str, Any] = {
            "save_strategy": "no",
            "learning_rate": 3e-4,
            "disable_tqdm": True,
            "logging_steps": 1,
        }
        trainer = create_ume_grpo_trainer(
            str(folder), ume, prompts, output_dir=output_dir, batch_size=64, num_generations=64, max_steps=steps,
            max_completion_length=100, **settings,
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    step = sum(entry["step_time"] for entry in trainer.state.log_history if "step_time" in entry) / steps
    besides = (whole - alone) / steps
    return {
        "seconds a step": round(step, 3),
        "reward besides the UME": round(besides, 3),
        "share of the step": round(besides / step, 4),
    }


def growth(modality: Modality, letters: str, length: int, entries: int) -> dict[str, float]:
    """Time sequences at the first thousand entries and at the last, all of different families."""
    rng, memory = random.Random(0), DiversityMemory()
    times = {}
    for start in range(0, entries, 1000):
        batch = [(modality, "".join(rng.choices(letters, k=length))) for _ in range(1000)]
        began = time.process_time()  # CPU time: other work on the machine does not count
        memory.pay(batch)
        times[start] = time.process_time() - began
    first, last = times[min(1000, max(times))], times[max(times)]
    return {
        "entries": entries,
        "microseconds at 1,000": round(1e3 * first),
        "microseconds at the end": round(1e3 * last),
    }


if __name__ == "__main__":
    main()
