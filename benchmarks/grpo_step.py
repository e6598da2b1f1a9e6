"""Where the time of a demo step goes, and what the reward adds to it. Prints JSON and a table.

    python benchmarks/grpo_step.py
    OMP_NUM_THREADS=1 python benchmarks/grpo_step.py --clock cpu      # on a machine that others use

Steps of 64 completions, the first left out, three times: as they are, with a reward that is always the same, and under cProfile, for the
parts. ``network`` is the encoder; ``null model and environments`` what the score makes of what it finds; ``memory`` the diversity memory.
"""

import argparse
import cProfile
import pstats
import tempfile
from collections.abc import Iterator
from statistics import median
from typing import Any

import torch
from datasets import Dataset
from measuring import CLOCKS, show
from transformers import PrinterCallback, TrainerCallback

from lobster.constants import Modality
from lobster.model import Ume
from lobster.rl_training import create_ume_grpo_trainer
from lobster.sequences.chemistry import canonical_smiles, parse_smiles

POLICIES = {
    Modality.SMILES: ("smiles-policy-3M", 100),
    Modality.AMINO_ACID: ("protein-policy-3M", 127),
    Modality.NUCLEOTIDE: ("coding-policy-3M", 127),
}
PARTS = {
    "generation": ("grpo_trainer.py", "_generate"),
    "log-probabilities": ("grpo_trainer.py", "_get_per_token_logps_and_entropies"),
    "reward": ("trl_reward.py", "__call__"),
    "  parsing": ("completions.py", "read_completion"),
    "  tokenising": ("ume.py", "tokenize"),
    "  network": ("pseudo_likelihood.py", "token_log_probabilities"),
    "  null model and environments": ("reference.py", "measure"),
    "  memory": ("diversity.py", "pay"),
    "backward": ("accelerator.py", "backward"),
    "optimiser": ("optimizer.py", "step"),
}


class Steps(TrainerCallback):
    """Measures each step but the first.

    Args:
        clock: Its clock.
        profile: What is switched on within those steps.
    """

    def __init__(self, clock: str, profile: cProfile.Profile | None):
        self.now, self.profile, self.seconds = CLOCKS[clock], profile, list[float]()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.start = self.now()
        if self.profile and state.global_step:
            self.profile.enable()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.profile:
            self.profile.disable()
        if state.global_step > 1:
            self.seconds.append(self.now() - self.start)


def always_the_same(completions: list[str], **columns: Any) -> list[float]:
    """Return a reward that needs no time."""
    return [0.5] * len(completions)


def step(
    arguments: argparse.Namespace, constant: bool = False, profile: cProfile.Profile | None = None
) -> tuple[float, float]:
    """Return the median seconds of a step, and the mean length of what it wrote, in tokens."""
    for cached in (parse_smiles, canonical_smiles):
        cached.cache_clear()  # runs of one seed write the same at first
    policy, length = POLICIES[arguments.modality]
    prompts = Dataset.from_dict({"prompt": [""], "modality": [arguments.modality.value]})
    steps = Steps(arguments.clock, profile)
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {
            "output_dir": folder,
            "batch_size": 64,
            "num_generations": 64,
            "learning_rate": 5e-4,
            "max_completion_length": length,
            "max_steps": arguments.steps + 1,
            "logging_steps": 1,
            "save_strategy": "no",
            "disable_tqdm": True,
            "report_to": "none",
            "callbacks": [steps],
        }
        trainer = create_ume_grpo_trainer(policy, Ume.from_pretrained(arguments.ume), prompts, **settings)
        trainer.remove_callback(PrinterCallback)
        if constant:
            trainer.reward_funcs[0] = always_the_same
        trainer.train()
    lengths = [log["completions/mean_length"] for log in trainer.state.log_history if "completions/mean_length" in log]
    return median(steps.seconds), sum(lengths[1:]) / len(lengths[1:])


def parts(profile: cProfile.Profile, steps: int) -> Iterator[tuple[str, float]]:
    """Yield the seconds a step of each part."""
    stats: Any = pstats.Stats(profile)
    for part, (file, function) in PARTS.items():
        found = [row[3] for (path, _, name), row in stats.stats.items() if name == function and path.endswith(file)]
        if not found:
            raise LookupError(f"no function {function!r} of {file} was called: it has another name now, mend PARTS")
        yield part, max(found) / steps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modality", type=Modality, default=Modality.SMILES, choices=list(Modality))
    parser.add_argument("--ume", default="ume-nano-base-3M")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    (whole, length), (alone, length_alone) = step(arguments), step(arguments, constant=True)
    profile = cProfile.Profile(CLOCKS[arguments.clock])
    profiled, _ = step(arguments, profile=profile)
    facts = {
        "modality": arguments.modality.value,
        "threads": torch.get_num_threads(),
        "clock": arguments.clock,
        "a step (s)": round(whole, 2),
        "with a constant reward (s)": round(alone, 2),
        "ratio": round(whole / alone, 2),
        "mean length (tokens)": [round(length, 1), round(length_alone, 1)],
    }
    shares = parts(profile, arguments.steps)
    show(facts, [{"part": p, "seconds": round(s, 3), "share": round(s / profiled, 3)} for p, s in shares])


if __name__ == "__main__":
    main()
