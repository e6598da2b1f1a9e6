"""The demo: the policy that ships, reinforced for a few minutes with the encoder that ships, before and after."""

import time
from pathlib import Path
from typing import Any

from datasets import Dataset

from lobster.constants import Modality
from lobster.evaluation import sample
from lobster.model import load_encoder
from lobster.model.policies import find_policy, load_policy
from lobster.report.comparison import check_drawing, comparison_table, score_samples, write_report
from lobster.report.html import can_write_html_report
from lobster.resume import check_output_dir, checkpoint_to_resume, told_when_full
from lobster.rl_training import UmeRewardFunction, create_ume_grpo_trainer
from lobster.rl_training.trainers import train_in_view

POLICY, ENCODER, FOLDER = "smiles-policy-3M", "ume-nano-base-3M", "runs/demo"

# Chosen for two minutes on two cores: 64 molecules a step from the empty prompt, a learning rate for 3M parameters.
SETTINGS: dict[str, Any] = {
    "per_device_train_batch_size": 64,
    "num_generations": 64,
    "learning_rate": 5e-4,
    "max_completion_length": 100,
    "logging_steps": 1,
    "max_steps": 75,
    "save_steps": 20,
    "save_total_limit": 1,
    "seed": 0,
}


def run_demo(
    policy: str = POLICY,
    encoder: str = ENCODER,
    modality: str | None = None,
    output_dir: str | Path = FOLDER,
    samples: int = 512,
    device: str | None = None,
    resume: bool = False,
    **settings: Any,
) -> None:
    """Sample molecules, reinforce the policy, sample again, print the difference; ``output_dir`` holds the rest.

    Args:
        policy: A name that ships, a folder or a Hub id; it writes SMILES from the empty prompt.
        encoder: The reward's, likewise.
        modality: What an encoder that is no UME reads, where its vocabulary can write several.
        output_dir: The run's folder. The demo's own is overwritten, any other that holds a run is refused.
        samples: Molecules in the table before and after.
        device: cuda or cpu; CUDA where there is one by default.
        resume: Whether to go on from the last checkpoint in ``output_dir``.
        settings: Anything that `create_ume_grpo_trainer` takes, instead of `SETTINGS`.

    Raises:
        ImportError: matplotlib is not installed.
        FileExistsError, FileNotFoundError, ValueError, TypeError, OSError, KeyboardInterrupt: As of `train_ume_grpo`.
    """
    check_drawing()
    folder = Path(output_dir)
    start = checkpoint_to_resume(folder, resume)
    settings = SETTINGS | {"overwrite_output_dir": start is None and str(output_dir) == FOLDER} | settings
    check_output_dir(folder, start, settings["overwrite_output_dir"])
    ume = load_encoder(encoder, modality, device)
    scorer = UmeRewardFunction(ume)
    source = find_policy(policy)
    print(f"Sampling {samples} molecules from {policy} …", flush=True)
    model, tokenizer = load_policy(source)
    model.to(ume.device)
    before = score_samples(sample(model, tokenizer, samples), scorer)

    prompts = Dataset.from_dict({"prompt": [""], "modality": [Modality.SMILES.value]})
    trainer = create_ume_grpo_trainer(source, ume, prompts, output_dir=folder, **settings)
    print(f"Reinforcing it with {encoder} for {settings['max_steps']} steps …", flush=True)
    began = time.monotonic()
    train_in_view(trainer, resume or None)
    seconds = time.monotonic() - began
    after = score_samples(sample(trainer.model, tokenizer, samples, seed=1), scorer)
    with told_when_full(folder):
        trainer.save_model(str(folder))
        trainer.create_model_card()
        summary = write_report(folder, before, after, trainer.state.log_history, seconds)
        page = trainer.report().file if can_write_html_report() else None
    print(f"\n{samples} fresh samples, {seconds:.0f} s of training\n")
    print(comparison_table(summary["before"], summary["after"]))
    written = ["summary.json", "samples.csv", "best_sequences.csv", "reward_curve.png", "best_molecules.png"]
    written = [name for name in written if (folder / name).exists()] + ([page.name] if page else [])
    print(f"\nIn {folder}: the policy, {', '.join(written)}")
