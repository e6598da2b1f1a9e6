"""The best molecules as an image in the trackers that show images: TensorBoard, Weights & Biases, trackio."""

from importlib import import_module
from typing import Any

import numpy as np
from transformers import TrainerCallback
from transformers.integrations import TensorBoardCallback

from lobster.constants import Modality
from lobster.report.sequence_views import can_draw, molecule_grid

BEST_MOLECULES = "best_molecules"
_LIKE_WANDB = ("wandb", "trackio")  # the modules of trackers with wandb's interface
TRACKERS = {"tensorboard", *_LIKE_WANDB}


class TrackerImages(TrainerCallback):
    """Shows the best molecules so far, with each checkpoint, in those of `TRACKERS` that ``report_to`` has.

    Args:
        trainer: A `UmeGRPOTrainer`.
    """

    def __init__(self, trainer: Any):
        self.trainer = trainer

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        best = self.trainer.ume_reward.top_sequences.best
        molecules = {row["sequence"]: row["score"] for row in best if row["modality"] == Modality.SMILES.value}
        if not molecules or not state.is_world_process_zero or not can_draw():
            return
        image = molecule_grid(molecules).convert("RGB")
        for callback in self.trainer.callback_handler.callbacks:
            if isinstance(callback, TensorBoardCallback) and callback.tb_writer:
                callback.tb_writer.add_image(BEST_MOLECULES, np.asarray(image), state.global_step, dataformats="HWC")
        for name in _LIKE_WANDB:
            if name in args.report_to:
                tracker = import_module(name)
                tracker.log({BEST_MOLECULES: tracker.Image(image), "train/global_step": state.global_step})
