"""`lobster doctor`: what is installed, what is missing, whether a run can be resumed."""

import argparse
from pathlib import Path

from lobster.cli.common import verb_parser

EXAMPLE = "lobster doctor"


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    what = "Say what is installed, what is missing, what there is to compute on, and whether a run can be resumed."
    made = verb_parser("doctor", what, EXAMPLE)
    made.add_argument("run", nargs="?", help="folder of a run; the exit status is 1 where it cannot be resumed")
    return made


def run(words: list[str]) -> int:
    """Look."""
    arguments = parser().parse_args(words)
    from lobster.installation import devices, missing_for_drawing, missing_packages, versions

    print("\n".join(f"{name:<14}{found}" for name, found in versions().items()))
    for device in devices():
        print(device)
    missing = missing_packages()
    if always := missing.pop(""):
        print(f"missing: {', '.join(always)}: pip install lobster-rl")
    for extra, packages in missing.items():
        remedy = f"lacks {', '.join(packages)}: pip install 'lobster-rl[{extra}]'"
        print(f"extra {extra}: {remedy if packages else 'complete'}")
    if not any("rdkit" in package for package in always) and (missing_library := missing_for_drawing()):
        print(missing_library)
    sound = not always
    if arguments.run is not None:
        sound = _can_resume(arguments.run) and sound
    return 0 if sound else 1


def _can_resume(folder: str) -> bool:
    from lobster.pretraining.run import RESUME, TRAINING_FILE
    from lobster.resume import last_checkpoint
    from lobster.runs.folder import METRICS_FILE, STAGE_END, stages

    if begun := stages(folder):
        ended = sum((stage / STAGE_END).is_dir() for stage in begun)
        print(f"{folder} can be resumed: {len(begun)} stages have begun, {ended} have ended: --resume")
        return True
    try:
        how = "--resume" if (Path(folder) / METRICS_FILE).is_file() else RESUME
        if (Path(folder) / TRAINING_FILE).is_file():
            how += "; it has ended, a larger --max_steps goes on"
        print(f"{folder} can be resumed from {last_checkpoint(folder).name}: {how}")
    except FileNotFoundError as error:
        print(f"{folder} cannot be resumed: {error}")
        return False
    return True
