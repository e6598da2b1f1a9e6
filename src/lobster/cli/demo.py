"""`lobster demo`: the policy that ships, before and after a few minutes of GRPO."""

import argparse

from lobster.cli.common import importing, verb_parser

EXAMPLE = "lobster demo"


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    what = "See it work: sample molecules, reinforce the policy that ships, sample again; about two minutes on two CPU cores."
    made = verb_parser("demo", what, EXAMPLE, usage="lobster demo [arguments] [--name value …]")
    made.add_argument("--model_path", default="smiles-policy-3M", help="policy: a folder, a Hub id or %(default)s")
    made.add_argument("--ume", default="ume-nano-base-3M", help="encoder: a folder, a Hub id, a .ckpt or %(default)s")
    made.add_argument("--modality", help="what an encoder that is no UME reads, where its vocabulary can write several")
    made.add_argument(
        "--output_dir", default="runs/demo", help="where everything goes (%(default)s, which is overwritten)"
    )
    made.add_argument("--samples", type=int, default=512, help="samples in the table before and after (%(default)s)")
    made.add_argument("--device", help="cuda or cpu; CUDA where there is one")
    made.add_argument("--resume", action="store_true", help="go on from the last checkpoint in output_dir")
    made.epilog = (
        f"{made.epilog}\n\nAny parameter of TRL's GRPOConfig can be given as --name value, such as --max_steps 20."
    )
    return made


def run(words: list[str]) -> None:
    """Run the demo."""
    arguments = parser()
    known, rest = arguments.parse_known_args(words)
    with importing():
        from lobster.report.demo import run_demo
        from lobster.rl_training.trainers import check_keywords
        from lobster.yaml_values import parse_settings

    try:
        settings = parse_settings(rest)
        check_keywords(settings)
    except (ValueError, TypeError) as error:
        arguments.error(str(error))
    run_demo(
        known.model_path,
        known.ume,
        known.modality,
        known.output_dir,
        known.samples,
        known.device,
        known.resume,
        **settings,
    )
