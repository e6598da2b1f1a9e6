"""Reinforce a policy with a UME reward.

Without arguments this is the demo: the SMILES policy that ships, the UME that ships, a few minutes on two CPU cores, and a
table of the policy before and after. With arguments: your model, your data.

    python examples/train_ume_grpo.py
    python examples/train_ume_grpo.py --model_path my-policy --ume my-ume --dataset prompts.csv --output_dir runs/mine \
        --learning_rate 1e-5 --num_generations 16 --per_device_train_batch_size 16

The data set is a csv, json, jsonl or parquet file with a column `prompt` (and `modality`, if you like), or a text file with
a prompt a line. Any parameter of TRL's GRPOConfig can be given as `--name value`.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset, load_dataset
from transformers import PrinterCallback, ProgressCallback
from transformers.utils.logging import disable_progress_bar

from lobster.constants import Modality
from lobster.evaluation import sample
from lobster.model import load_encoder
from lobster.model.policies import find_policy, load_policy
from lobster.report import (
    ProgressLine,
    can_write_html_report,
    check_drawing,
    comparison_table,
    score_samples,
    write_html_report,
    write_report,
)
from lobster.resume import check_output_dir, checkpoint_to_resume, told_when_full
from lobster.rl_training import UmeRewardFunction, create_ume_grpo_trainer, train_ume_grpo

POLICY, UME, FOLDER = "smiles-policy-3M", "ume-nano-base-3M", "runs/demo"

# Chosen for three minutes on two cores: 64 molecules a step from the empty prompt, a learning rate for 3M parameters.
DEMO: dict[str, Any] = {
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


def main() -> None:
    """Run the demo, or a training of your own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_path", default=POLICY, help=f"policy: a folder, a Hub id or {POLICY}")
    parser.add_argument("--ume", default=UME, help=f"UME or other encoder: a folder, a Hub id, a .ckpt or {UME}")
    parser.add_argument(
        "--modality", help="what an encoder that is no UME reads, where its vocabulary can write several"
    )
    parser.add_argument("--dataset", help="file of prompts; without it, the demo's empty prompt")
    parser.add_argument("--output_dir", default=FOLDER)
    parser.add_argument("--samples", type=int, default=512, help="samples in the table before and after (demo)")
    parser.add_argument("--device", default=None, help="cuda or cpu; CUDA where there is one")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in output_dir")
    arguments, rest = parser.parse_known_args()
    disable_progress_bar()  # transformers' own, one for each file it reads
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
    try:
        settings = parse_settings(rest)
        if arguments.dataset:
            run_own(arguments, settings)
        else:
            run_demo(arguments, settings)
    except KeyboardInterrupt as interruption:
        print(f"\n{interruption or 'stopped'}", file=sys.stderr)
        sys.exit(130)  # what a shell expects of a program that was interrupted
    except (OSError, ValueError, TypeError, ImportError) as error:
        sys.exit(f"error: {error}")


def parse_settings(words: list[str]) -> dict[str, Any]:
    """Read `--name value` pairs; values are YAML, and 1e-5 is a number."""
    settings: dict[str, Any] = {}
    for name, value in zip(words[::2], words[1::2], strict=False):
        if not name.startswith("--"):
            raise ValueError(f"expected --name value, got {name!r}")
        parsed = yaml.safe_load(value)
        try:
            settings[name[2:]] = float(parsed) if isinstance(parsed, str) else parsed
        except ValueError:
            settings[name[2:]] = parsed
    if len(words) % 2:
        raise ValueError(f"{words[-1]!r} has no value: expected --name value")
    return settings


def load_prompts(file: str) -> Dataset:
    """Read a file of prompts."""
    kind = {"jsonl": "json", "txt": "text"}.get(Path(file).suffix[1:], Path(file).suffix[1:])
    if not Path(file).is_file():
        raise FileNotFoundError(f"data set {file!r} does not exist")
    if kind not in ("csv", "json", "parquet", "text"):
        raise ValueError(f"data set {file!r}: expected a csv, json, jsonl, parquet or txt file")
    dataset = load_dataset(kind, data_files=file, split="train")
    return dataset.rename_column("text", "prompt") if kind == "text" else dataset


def run_own(arguments: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Train on your own prompts."""
    train_ume_grpo(
        arguments.model_path,
        load_encoder(arguments.ume, arguments.modality, arguments.device or "cuda"),
        load_prompts(arguments.dataset),
        output_dir=arguments.output_dir,
        device=arguments.device or "cuda",
        resume_from_checkpoint=arguments.resume or None,
        **settings,
    )
    print(f"The policy is in {arguments.output_dir}")


def run_demo(arguments: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Sample, train, sample again, and show the difference."""
    check_drawing()
    folder = Path(arguments.output_dir)
    start = checkpoint_to_resume(folder, arguments.resume)
    settings = DEMO | {"overwrite_output_dir": start is None and arguments.output_dir == FOLDER} | settings
    check_output_dir(folder, start, settings["overwrite_output_dir"])
    ume = load_encoder(arguments.ume, arguments.modality, arguments.device)
    scorer = UmeRewardFunction(ume)
    source = find_policy(arguments.model_path)
    print(f"Sampling {arguments.samples} molecules from {arguments.model_path} …", flush=True)
    policy, tokenizer = load_policy(source)
    policy.to(ume.device)
    before = score_samples(sample(policy, tokenizer, arguments.samples), scorer)

    prompts = Dataset.from_dict({"prompt": [""], "modality": [Modality.SMILES.value]})
    trainer = create_ume_grpo_trainer(source, ume, prompts, output_dir=folder, callbacks=[ProgressLine()], **settings)
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    print(f"Reinforcing it with {arguments.ume} for {settings['max_steps']} steps …", flush=True)
    began = time.monotonic()
    trainer.train(resume_from_checkpoint=arguments.resume or None)
    seconds = time.monotonic() - began
    after = score_samples(sample(trainer.model, tokenizer, arguments.samples, seed=1), scorer)
    with told_when_full(folder):
        trainer.save_model(str(folder))
        trainer.create_model_card()
        summary = write_report(folder, before, after, trainer.state.log_history, seconds)
        page = write_html_report(folder, encoder=ume) if can_write_html_report() else None
    print(f"\n{arguments.samples} fresh samples, {seconds:.0f} s of training\n")
    print(comparison_table(summary["before"], summary["after"]))
    print(
        f"\nIn {folder}: the policy, summary.json, samples.csv, best_sequences.csv, reward_curve.png, best_molecules.png"
        + (f", {page.name}" if page else "")
    )


if __name__ == "__main__":
    main()
