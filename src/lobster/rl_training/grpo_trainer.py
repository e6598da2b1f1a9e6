"""TRL's GRPO trainer with a UME reward: a run that can be interrupted, resumed and recorded."""

import logging
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from transformers import TrainerCallback, TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, TrainOutput
from trl import GRPOTrainer

from lobster.resume import (
    alone_in,
    check_output_dir,
    checkpoint_to_resume,
    checkpoints,
    foreign_checkpoints,
    told_when_full,
    told_when_interrupted,
)
from lobster.rl_training.advantages import without_outliers
from lobster.rl_training.checked_rewards import raise_faults
from lobster.rl_training.guards import GOALS, RunGuard
from lobster.rl_training.trl_reward import UmeReward
from lobster.runs.folder import was_stopped_by_guard
from lobster.runs.interruption import Interruption
from lobster.runs.model_card import model_card
from lobster.runs.recording import RunRecorder
from lobster.runs.settings import compare_settings, run_settings, save_settings

if TYPE_CHECKING:
    from lobster.report import Report

logger = logging.getLogger(__name__)


class _Remember(TrainerCallback):
    """Writes what the reward remembers into each checkpoint, and last the run's settings, which say that it is whole.

    A run that goes on takes its prompts in the order of an unbroken one: each epoch draws its order from a generator that no
    checkpoint holds, so those of the epochs before are drawn again.
    """

    def __init__(self, trainer: "UmeGRPOTrainer"):
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **kwargs: Any) -> None:
        for _ in range(int(state.epoch or 0)):
            next(iter(train_dataloader.batch_sampler), None)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.should_save:
            folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
            self.trainer.ume_reward.save(folder)
            self.trainer.ume_reward.top_sequences.write(args.output_dir)
            save_settings(folder, self.trainer.settings(), self.trainer.model)


class UmeGRPOTrainer(GRPOTrainer):
    """TRL's `GRPOTrainer` whose checkpoints hold what the reward remembers, and whose evaluations leave that alone.

    A failure is no louder than `without_outliers` lets it be, and a resumed run takes its prompts in the order of an unbroken
    one. Of TRL's private methods it overrides `_generate_and_score_completions`.

    Args:
        args, kwargs: As of `trl.GRPOTrainer`.
        ume_reward: The reward, one of ``reward_funcs``.
        recorder: What records the run in its folder.
        overwrite_output_dir: Whether the checkpoints of another run in ``output_dir`` are deleted.

    Attributes:
        ume_reward: The reward, with its diversity memory and its top sequences.
    """

    def __init__(
        self,
        *args: Any,
        ume_reward: UmeReward,
        recorder: RunRecorder,
        overwrite_output_dir: bool = False,
        **kwargs: Any,
    ):
        self.ume_reward, self.recorder = ume_reward, recorder
        self.overwrite_output_dir = overwrite_output_dir
        self._interruption = Interruption()
        super().__init__(*args, **kwargs)
        self.add_callback(recorder)
        self.add_callback(_Remember(self))
        if self.args.report_to:
            from lobster.report.tracker_images import TRACKERS, TrackerImages

            if TRACKERS.intersection(self.args.report_to):
                self.add_callback(TrackerImages(self))
        self.add_callback(self._interruption)

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> TrainOutput:
        """Train, and write the best sequences.

        Ctrl-C finishes the step, saves a checkpoint and a summary, and ends the run; a second one ends it at once, without: in the middle of a
        step the memory and the weights do not fit together.

        Args:
            resume_from_checkpoint: A checkpoint's folder, or True for the last whole one. Of a run that had ended nothing is
                trained.
            args, kwargs: As of `transformers.Trainer.train`.

        Raises:
            FileExistsError: ``output_dir`` holds another run, or one is at work in it.
            FileNotFoundError: There is no whole checkpoint to resume from.
            ValueError: The checkpoint is of another policy or memory, or a reward is not finite.
            OSError: There is no space left, or ``output_dir`` cannot be written to.
            KeyboardInterrupt: Ctrl-C ended it; the message names the checkpoint to resume from.
        """
        folder = Path(str(self.args.output_dir))
        with alone_in(folder) if self.args.should_save else nullcontext():
            return self._train_in(folder, resume_from_checkpoint, *args, **kwargs)

    def _train_in(self, folder: Path, resume_from_checkpoint: Any, *args: Any, **kwargs: Any) -> TrainOutput:
        """Train in a folder that is this run's alone."""
        start = checkpoint_to_resume(folder, resume_from_checkpoint)
        check_output_dir(folder, start, self.overwrite_output_dir)
        if start is not None and self._had_ended(start):
            return TrainOutput(self.state.global_step, 0.0, {})
        self.accelerator.wait_for_everyone()  # until all have looked at what is removed now
        if self.args.should_save and self.overwrite_output_dir:
            for old in foreign_checkpoints(folder, start):
                shutil.rmtree(old)
        if start is not None:
            compare_settings(start, self.settings(), self.model, self.is_world_process_zero())
        self.recorder.begin(folder, start)
        policy: Any = self.model
        size = sum(p.numel() * p.element_size() for p in policy.parameters() if p.requires_grad)
        writing = told_when_full(folder, lambda: folder / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}", size)
        with told_when_interrupted(folder, lambda: self.state.global_step), writing, self._interruption.watched():
            try:
                output = super().train(None if start is None else str(start), *args, **kwargs)
                if self._interruption.came():  # after the last step
                    raise KeyboardInterrupt
            except KeyboardInterrupt:
                if self.was_interrupted:
                    self._conclude(folder, f"interrupted at step {self.state.global_step} of {self.state.max_steps}")
                raise
            self._conclude(folder, self._why_ended())
        return output

    @property
    def was_interrupted(self) -> bool:
        """Whether Ctrl-C ended the last training, with a step that was finished and saved."""
        return self._interruption.count == 1

    def _conclude(self, folder: Path, ended: str) -> None:
        if self.is_world_process_zero():
            self.ume_reward.top_sequences.write(folder)
            self.recorder.summarise(self.state, ended, any(guard.reason for guard in self._guards))

    def report(self) -> "Report":
        """Write ``report.html`` into ``output_dir``, of what there is of the run by now; a notebook shows it.

        Raises:
            FileNotFoundError: Training has not begun.
            ImportError: What it needs is not installed (`lobster.report.write_html_report`).
        """
        from lobster.report import Report, write_html_report  # what reports needs nothing of what trains

        return Report(write_html_report(str(self.args.output_dir), encoder=self.ume_reward.reward_function.encoder))

    @property
    def _guards(self) -> list[RunGuard]:
        return [callback for callback in self.callback_handler.callbacks if isinstance(callback, RunGuard)]

    def _why_ended(self) -> str:
        goals = (callback for callback in self.callback_handler.callbacks if isinstance(callback, GOALS))
        reasons = [guard.reason for guard in self._guards] + [goal.ended(self.state) for goal in goals]
        return next(filter(None, reasons), f"step {self.state.global_step} of {self.state.max_steps}")

    def _had_ended(self, checkpoint: Path) -> bool:
        """Say whether a checkpoint is the end of its run; if so, load it."""
        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        self.ume_reward.load(checkpoint)
        reached = any(isinstance(call, GOALS) and call.ended(state) for call in self.callback_handler.callbacks)
        epochs = self.args.num_train_epochs == state.num_train_epochs
        steps = self.args.max_steps if self.args.max_steps > 0 else state.max_steps if epochs else float("inf")
        folder = Path(str(self.args.output_dir)).resolve()
        is_last = [*checkpoints(folder).values()][:1] == [checkpoint.resolve()]
        stopped = bool(self._guards) and is_last and was_stopped_by_guard(folder)
        if state.global_step < steps and not reached and not stopped:
            return False
        best = state.best_model_checkpoint if self.args.load_best_model_at_end or stopped else None
        self._load_from_checkpoint(str(checkpoint.parent / Path(best).name if best else checkpoint))
        self.state = state
        if self.is_world_process_zero():
            why = "had been stopped by its guard after" if stopped else "had ended at"
            how = " (guard=False goes on)" if stopped else ""
            logger.warning(
                "the run in %s %s step %d: nothing is trained%s", checkpoint.parent, why, state.global_step, how
            )
        return True

    def settings(self) -> dict[str, Any]:
        """Return what defines this run."""
        prompts = len(self.train_dataset) if isinstance(self.train_dataset, Dataset) else None
        others = [name for name in self.reward_func_names if name != self.ume_reward.__name__]
        args: Any = self.args
        return run_settings(args, self.ume_reward, others, prompts)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super()._generate_and_score_completions(inputs)
        raise_faults(self.reward_funcs)
        model: Any = self.model
        if not model.training:  # an evaluation, whose groups may be others
            return batch
        group: Any = self.num_generations
        advantages = without_outliers(self.accelerator.gather(batch["advantages"]), group)
        first = self.accelerator.process_index * len(inputs)
        return batch | {"advantages": advantages[first : first + len(inputs)]}

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate without the memory: what was paid for in training pays here, and is not remembered."""
        with self.ume_reward.paused():
            return super().evaluate(*args, **kwargs)

    def create_model_card(  # type: ignore[override]  # TRL's signature is not transformers' either
        self, model_name: str | None = None, dataset_name: str | None = None, tags: str | list[str] | None = None
    ) -> None:
        """Write a card about a policy of molecules (TRL's own asks it about time machines)."""
        if not self.is_world_process_zero():
            return
        labels = [tags] if isinstance(tags, str) else tags or []
        args: Any = self.args
        card = model_card(self.model, args, self.state.global_step, model_name, dataset_name, labels)
        (Path(str(args.output_dir)) / "README.md").write_text(card)
