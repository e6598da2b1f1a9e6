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
from typing import Any

from lobster.model import load_encoder
from lobster.prompts import load_prompts
from lobster.quiet import silence_libraries
from lobster.report.demo import ENCODER, FOLDER, POLICY, run_demo
from lobster.rl_training import train_ume_grpo
from lobster.yaml_values import parse_settings


def main() -> None:
    """Run the demo, or a training of your own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_path", default=POLICY, help=f"policy: a folder, a Hub id or {POLICY}")
    parser.add_argument(
        "--ume", default=ENCODER, help=f"UME or other encoder: a folder, a Hub id, a .ckpt or {ENCODER}"
    )
    parser.add_argument(
        "--modality", help="what an encoder that is no UME reads, where its vocabulary can write several"
    )
    parser.add_argument("--dataset", help="file of prompts; without it, the demo's empty prompt")
    parser.add_argument("--output_dir", default=FOLDER)
    parser.add_argument("--samples", type=int, default=512, help="samples in the table before and after (demo)")
    parser.add_argument("--device", default=None, help="cuda or cpu; CUDA where there is one")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in output_dir")
    arguments, rest = parser.parse_known_args()
    silence_libraries()
    try:
        settings = parse_settings(rest)
        if arguments.dataset:
            run_own(arguments, settings)
        else:
            run_demo(
                arguments.model_path,
                arguments.ume,
                arguments.modality,
                arguments.output_dir,
                arguments.samples,
                arguments.device,
                arguments.resume,
                **settings,
            )
    except KeyboardInterrupt as interruption:
        print(f"\n{interruption or 'stopped'}", file=sys.stderr)
        sys.exit(130)  # what a shell expects of a program that was interrupted
    except (OSError, ValueError, TypeError, ImportError) as error:
        sys.exit(f"error: {error}")


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


if __name__ == "__main__":
    main()
