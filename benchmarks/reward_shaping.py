"""What the trainer's choices do to the policies that ship. Prints a JSON object for each run, before and after.

python benchmarks/reward_shaping.py                                   # the default: SMILES, 60 steps, one seed
python benchmarks/reward_shaping.py --settings all --seeds 0 1 2      # every setting, three times
python benchmarks/reward_shaping.py --modality amino_acid --steps 150 --seeds 0 1 2
python benchmarks/reward_shaping.py --settings '{"beta": 0.15}'       # the trainer's arguments
python benchmarks/reward_shaping.py --settings --rejection 1500       # what choosing among the start's samples gives
"""

import argparse
import json
import tempfile
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from transformers.utils.logging import disable_progress_bar

from lobster.constants import Modality
from lobster.evaluation import sample, sample_metrics
from lobster.model import Ume
from lobster.model.checkpoints import find_model
from lobster.rl_training import UmeRewardFunction, create_ume_grpo_trainer
from lobster.sequences import read_sequences

# Policies, reward temperatures, and learning rates.
POLICIES = {
    Modality.SMILES: ("smiles-policy-3M", 0.1, 5e-4),
    Modality.AMINO_ACID: ("protein-policy-3M", 0.1, 2.5e-4),
    Modality.NUCLEOTIDE: ("coding-policy-3M", 0.1, 2.5e-4),
}
REJECTION = (0.5, 0.25, 0.15, 0.1)
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "plain reward, TRL's scaling, no anchor": {"diversity": False, "beta": 0.0, "scale_rewards": "group"},
    "no memory": {"diversity": False},
    "no anchor": {"beta": 0.0},
    "beta 0.1": {"beta": 0.1},
    "beta 0.5": {"beta": 0.5},
    "no scaffolds": {"diversity": {"floor": 1.0}},
    "no crowding": {"diversity": {"crowding": 0.0}},
    "floor 0.85": {"diversity": {"floor": 0.85}},
    "full buckets of 200 pay nothing": {"diversity": {"bucket_size": 200, "decay": "hard", "floor": 0.0}},
    "max_grad_norm 1": {"max_grad_norm": 1.0},
    "mask_truncated_completions off": {"mask_truncated_completions": False},
    "constant learning rate": {"lr_scheduler_type": "constant"},
    "temperature 1.2": {"temperature": 1.2},
    "entropy_coef 0.01": {"entropy_coef": 0.01},
}


def main() -> None:
    """Run the settings that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modality", type=Modality, default=Modality.SMILES, choices=list(Modality))
    parser.add_argument(
        "--settings",
        nargs="*",
        default=["default"],
        help=f"all; the trainer's arguments in JSON; or of: {'; '.join(SETTINGS)}",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--samples", type=int, default=512, help="samples of a draw, which diversity depends on")
    parser.add_argument("--draws", type=int, default=1, help="draws before and after, whose figures are averaged")
    parser.add_argument("--rejection", type=int, help="also choose the likeliest of so many samples of the start")
    parser.add_argument("--ume", default="ume-nano-base-3M")
    parser.add_argument("--keep", type=Path, help="folder to save the policies in, one for each seed")
    parser.add_argument(
        "--reference",
        help="file of sequences to measure novelty and composition against, such as what the policy learned from",
    )
    parser.add_argument(
        "--real", help="file of real sequences: the share of samples likelier than 500 of them is measured"
    )
    arguments = parser.parse_args()
    if arguments.reference:
        arguments.reference = read_sequences(arguments.reference)
    disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)
    ume = Ume.from_pretrained(arguments.ume)
    arguments.likeliest = likeliest(arguments.real, arguments.modality, ume) if arguments.real else None
    names = list(SETTINGS) if arguments.settings == ["all"] else arguments.settings
    start = find_model(POLICIES[arguments.modality][0])
    policy, tokenizer = (
        AutoModelForCausalLM.from_pretrained(start, dtype="float32"),
        AutoTokenizer.from_pretrained(start),
    )
    policy.to(ume.device)
    print(json.dumps({"setting": "the start"} | measure_draws(policy, tokenizer, 0, ume, arguments)), flush=True)
    if arguments.rejection:
        samples = draw(policy, tokenizer, arguments.rejection, seed=2000)
        scored = UmeRewardFunction(ume).score(samples, [arguments.modality] * len(samples))
        best = [s.sequence for s in sorted(scored, key=lambda s: -s.score) if s.molecule]
        for share in REJECTION:
            chosen = best[: round(share * len(best))]
            facts = {"setting": f"rejection: the likeliest {share:.0%}"}
            print(json.dumps(facts | measure(chosen, ume, arguments)), flush=True)
    for name in names:
        for seed in arguments.seeds:
            print(json.dumps(run(name, seed, start, ume, arguments)), flush=True)


def run(name: str, seed: int, start: Path, ume: Ume, arguments: argparse.Namespace) -> dict[str, Any]:
    """Reinforce the policy under a setting, and measure it."""
    chosen = SETTINGS[name] if name in SETTINGS else json.loads(name)
    prompts = Dataset.from_dict({"prompt": [""], "modality": [arguments.modality.value]})
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {
            "output_dir": folder,
            "per_device_train_batch_size": 64,
            "num_generations": 64,
            "reward_temperature": POLICIES[arguments.modality][1],
            "learning_rate": POLICIES[arguments.modality][2],
            "max_completion_length": 100 if arguments.modality is Modality.SMILES else 127,
            "max_steps": arguments.steps,
            "save_strategy": "no",
            "logging_steps": 1,
            "disable_tqdm": True,
            "report_to": "none",
            "guard": False,
            "seed": seed,
        }
        trainer = create_ume_grpo_trainer(str(start), ume, prompts, **settings | chosen)
        trainer.remove_callback(PrinterCallback)
        began = time.monotonic()
        trainer.train()
        if arguments.keep:
            trainer.save_model(str(arguments.keep / str(seed)))
    seconds = time.monotonic() - began
    after = measure_draws(trainer.model, trainer.processing_class, 1000 + seed, ume, arguments)
    last = trainer.state.log_history[-2]
    facts = {"setting": name, "seed": seed, "steps": arguments.steps}
    ends = {name: last.get(name) for name in ("kl", "reward_std")}
    return facts | after | ends | {"seconds": round(seconds)}


def measure_draws(model: Any, tokenizer: Any, seed: int, ume: Ume, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure several draws of a policy; a number is the mean of theirs, all else the first's."""
    seeds = range(seed, seed + 10_000 * arguments.draws, 10_000)
    measured = [measure(draw(model, tokenizer, arguments.samples, s), ume, arguments) for s in seeds]
    return measured[0] | pd.DataFrame(measured).mean(numeric_only=True).to_dict()


def draw(model: Any, tokenizer: Any, count: int, seed: int) -> list[str]:
    """Sample from a policy, as long as it can write."""
    return sample(model, tokenizer, count, max_new_tokens=model.config.max_position_embeddings - 1, seed=seed)


def measure(samples: list[str], ume: Ume, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure samples."""
    metrics = asdict(sample_metrics(samples, arguments.modality, arguments.reference))
    scored = UmeRewardFunction(ume).score(samples, [arguments.modality] * len(samples))
    valid = [s for s in scored if s.pseudo_likelihood]
    figures = {
        "modality": arguments.modality,
        "pseudo_likelihood": float(np.mean([s.pseudo_likelihood for s in valid])) if valid else None,
        "score": float(np.mean([s.score for s in valid])) if valid else None,
        "score_with_failures": float(np.sum([s.score for s in valid])) / len(samples),
        "parts": pd.DataFrame([s.parts for s in valid]).mean().to_dict(),
        "full_typicality": float(np.mean([s.values.get("typicality") == 1 for s in valid])) if valid else None,
        "above_real": None
        if arguments.likeliest is None
        else float(np.mean([s.pseudo_likelihood > arguments.likeliest for s in valid])),
        "unevenness": unevenness([s.sequence for s in valid]),
        "examples": samples[:5],
    }
    return {name: None if value != value else value for name, value in (metrics | figures).items()}


def likeliest(file: str, modality: Modality, ume: Ume) -> float:
    """Return the greatest pseudo-likelihood of 500 real sequences of a file."""
    real = np.random.default_rng(0).choice(read_sequences(file), 500)
    return max(item.pseudo_likelihood for item in UmeRewardFunction(ume).score(list(real), modality))


def unevenness(sequences: list[str]) -> float:
    """Return Pearson's chi-squared of a sequence's letters beside those of all together, for each letter: a mean."""
    letters = sorted(set("".join(sequences)))
    counts = np.array([[s.count(letter) for letter in letters] for s in sequences])
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    return float(((counts - expected) ** 2 / expected).mean())


if __name__ == "__main__":
    main()
