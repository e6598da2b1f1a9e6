"""Which checkpoint a training that was cut short goes on from."""

import json
from pathlib import Path

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR


def last_checkpoint(output_dir: str | Path) -> Path:
    """Return the last whole checkpoint of a run; one that a killed process left half-written is passed over.

    Raises:
        FileNotFoundError: There is none.
    """
    folders = [f for f in Path(output_dir).glob(f"{PREFIX_CHECKPOINT_DIR}-*") if f.name.split("-")[-1].isdigit()]
    for folder in sorted(folders, key=lambda f: int(f.name.split("-")[-1]), reverse=True):
        try:
            json.loads((folder / "trainer_state.json").read_text())
        except (OSError, ValueError):
            continue
        return folder
    raise FileNotFoundError(
        f"{output_dir} holds no whole checkpoint to resume from: train without resume_from_checkpoint first "
        "(save_steps says how often checkpoints are written)"
    )
