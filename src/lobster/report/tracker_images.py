"""The best molecules as an image in a tracker that shows images: TensorBoard."""

from typing import Any

import numpy as np
from transformers import TrainerCallback
from transformers.integrations import TensorBoardCallback

from lobster.constants import Modality
from lobster.report.sequence_views import molecule_grid

BEST_MOLECULES = "best_molecules"


class TrackerImages(TrainerCallback):
    """Shows the best molecules so far in TensorBoard, with each checkpoint, where ``report_to`` has it.

    Args:
        trainer: A `UmeGRPOTrainer`.
    """

    def __init__(self, trainer: Any):
        self.trainer = trainer

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        callbacks = self.trainer.callback_handler.callbacks
        writers = [call.tb_writer for call in callbacks if isinstance(call, TensorBoardCallback) and call.tb_writer]
        best = self.trainer.ume_reward.top_sequences.best
        molecules = {row["sequence"]: row["score"] for row in best if row["modality"] == Modality.SMILES.value}
        if writers and molecules:
            image = np.asarray(molecule_grid(molecules).convert("RGB"))
            for writer in writers:
                writer.add_image(BEST_MOLECULES, image, state.global_step, dataformats="HWC")
