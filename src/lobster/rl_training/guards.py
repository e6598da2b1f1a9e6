"""What ends a run before its last step: a guard against one that goes bad, which keeps its best policy, a budget, and a goal."""

import logging
import math
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from lobster.runs.top_sequences import TopSequences

logger = logging.getLogger(__name__)


class RunGuard(TrainerCallback):
    """Watches a GRPO run; warns when it goes bad, then stops it and brings the best policy back.

    Watched are the means over the last ``window`` steps. Each of these is bad:

    - validity below ``fallen`` of the best that it was, and likewise uniqueness (among the last 512 valid completions);
    - completions ``length_factor`` times longer or shorter than in the first window;
    - KL divergence from the start above ``max_kl``;
    - more than ``max_zero_variance`` of the groups with equal rewards, from which nothing is learned;
    - more than ``max_truncated`` of the completions cut at their greatest length, where nothing is learned from these either
      (``mask_truncated_completions``).

    The first bad mean is a warning. If it stays bad for ``patience`` more steps, the run ends, and the weights of the
    checkpoint with the highest mean reward before that are loaded, so that they are what is saved last. A first checkpoint is
    written after the first window, unless ``save_strategy`` is ``no``: then nothing can be brought back.

    Args:
        window: Steps to average over.
        patience: Steps from the warning to the end.
        fallen: Share of their best that validity and uniqueness may fall to.
        length_factor: How much the mean length may grow or shrink.
        max_kl: In nats a token.
        max_zero_variance: Share of the groups.
        max_truncated: Share of the completions.
        reward_name: The `UmeReward`'s name.

    Attributes:
        reason: The line that said why the run was stopped, None while it was not.
    """

    def __init__(
        self,
        window: int = 20,
        patience: int = 20,
        fallen: float = 0.5,
        length_factor: float = 3.0,
        max_kl: float = 1.0,
        max_zero_variance: float = 0.5,
        max_truncated: float = 0.9,
        reward_name: str = "ume_reward",
    ):
        if window < 1 or patience < 0:
            raise ValueError(f"window is {window}, patience is {patience}: expected at least 1 step, and 0")
        if not 0 <= fallen <= 1 or length_factor <= 1:
            raise ValueError(f"fallen is {fallen}, length_factor is {length_factor}: expected 0 to 1, and above 1")
        self.window, self.patience = window, patience
        self.fallen, self.length_factor = fallen, length_factor
        self.max_kl, self.max_zero_variance, self.max_truncated = max_kl, max_zero_variance, max_truncated
        self.most = {
            "kl": max_kl,
            "frac_reward_zero_std": max_zero_variance,
            "completions/clipped_ratio": max_truncated,
        }
        self.reward_name = reward_name
        self.reason: str | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not getattr(args, "mask_truncated_completions", True):
            self.most.pop("completions/clipped_ratio", None)
        entries = max(1, math.ceil(self.window / max(1, state.logging_steps)))
        self._recent: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=entries))
        self._first: dict[str, float] = {}
        self._best: dict[str, float] = {}
        self._bad_since: dict[str, int] = {}
        self._saved = state.best_model_checkpoint is not None
        self.reason = None
        for entry in state.log_history:  # of the steps before a checkpoint that is gone on from
            self._take_note(entry, int(entry["step"]))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if self.reason or (bad := self._take_note(logs or {}, state.global_step)) is None:
            return
        for name, what in bad.items():
            since = self._bad_since[name]
            if since == state.global_step and state.is_world_process_zero:
                logger.warning("step %d: %s; the run stops in %d steps if it stays so", since, what, self.patience)
            if state.global_step >= since + self.patience:
                self._stop(what, args, state, control)
                return
        if not bad and not self._saved and args.save_strategy != "no":
            control.should_save = True

    def _take_note(self, logs: Mapping[str, Any], step: int) -> dict[str, str] | None:
        """Return what is bad after a step, by name; None where nothing can be said yet."""
        if "reward" not in logs:
            return None
        for name, value in logs.items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                self._recent[name].append(value)
        if len(self._recent["reward"]) < (self._recent["reward"].maxlen or 1):
            return None
        means = {name: sum(values) / len(values) for name, values in self._recent.items()}
        for name, mean in means.items():
            self._first.setdefault(name, mean)
            self._best[name] = max(mean, self._best.get(name, mean))
        bad = dict(self._bad(means))
        self._bad_since = {name: self._bad_since.get(name, step) for name in bad}
        return bad

    def _bad(self, means: dict[str, float]) -> Iterator[tuple[str, str]]:
        for short in ("valid", "unique"):
            name = f"{self.reward_name}/{short}"
            if name in means and means[name] < self.fallen * self._best[name]:
                yield name, f"{name} fell from {self._best[name]:.3g} to {means[name]:.3g}"
        name = "completions/mean_length"
        if name in means:
            first, mean = max(self._first[name], 1e-9), means[name]
            if not 1 / self.length_factor <= mean / first <= self.length_factor:
                yield name, f"{name} went from {first:.3g} to {mean:.3g}"
        for name, most in self.most.items():
            if means.get(name, 0.0) > most:
                yield name, f"{name} is {means[name]:.3g}, above {most:g}"

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        rewards = self._recent["reward"]
        if self.reason or self._bad_since or not rewards:
            return
        self._saved = True
        mean = sum(rewards) / len(rewards)
        if state.best_metric is None or mean > state.best_metric:
            state.best_metric, state.best_global_step = mean, state.global_step
            folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
            state.best_model_checkpoint = str(folder)
            if args.should_save:  # it was written before this was known
                state.save_to_json(str(folder / "trainer_state.json"))

    def _stop(self, what: str, args: Any, state: Any, control: Any) -> None:
        control.should_training_stop = True
        control.should_save = False
        if state.best_model_checkpoint:
            args.load_best_model_at_end = True
            end = f"the policy is that of step {state.best_global_step}, the best before"
        else:
            end = "no checkpoint was written before, the policy is the last one (see save_strategy)"
        self.reason = f"stopped at step {state.global_step}: {what} for {self.patience} steps; {end}"
        if state.is_world_process_zero:
            logger.warning(self.reason)


class ScoringBudget(TrainerCallback):
    """Ends a run, with a checkpoint, when its budget of distinct scored sequences is spent.

    Raises:
        ValueError: The budget is no whole number, or below 1.
    """

    def __init__(self, top_sequences: TopSequences, budget: int):
        if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
            raise ValueError(f"scoring_budget is {budget!r}: expected a whole number, at least 1")
        self.top_sequences, self.budget = top_sequences, budget

    def ended(self, state: Any) -> str | None:
        """Say that a run has ended, and why; None where it has not."""
        return f"the scoring_budget of {self.budget} is spent" if self.top_sequences.unique >= self.budget else None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.ended(state):
            control.should_training_stop = True
            control.should_save = args.save_strategy != "no"
            if state.is_world_process_zero:
                logger.warning(
                    "stopped at step %d: %d distinct sequences are scored, the scoring_budget is %d",
                    *(state.global_step, self.top_sequences.unique, self.budget),
                )


class ScoreReached(TrainerCallback):
    """Ends a run, with a checkpoint, when what the policy writes scores well enough.

    Args:
        score: What the mean score of completions, a failure counted as 0, has to reach over the last `WINDOW` steps.
        reward_name: The `UmeReward`'s name.

    Raises:
        ValueError: The score is not in (0, 1].
    """

    WINDOW = 5

    def __init__(self, score: float, reward_name: str = "ume_reward"):
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 < score <= 1:
            raise ValueError(f"until_score is {score!r}: expected a score in (0, 1]")
        self.score, self.name = score, f"{reward_name}/score"

    def ended(self, state: Any) -> str | None:
        """Say that a run has ended, and why; None where it has not."""
        entries = max(1, math.ceil(self.WINDOW / max(1, state.logging_steps)))
        last = [entry[self.name] for entry in state.log_history if self.name in entry][-entries:]
        if len(last) < entries or (mean := sum(last) / entries) < self.score:
            return None
        return f"the mean score of {mean:.3f} has reached the until_score of {self.score:g}"

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if self.name in (logs or {}) and (why := self.ended(state)):
            control.should_training_stop = True
            control.should_save = args.save_strategy != "no"
            if state.is_world_process_zero:
                logger.warning("stopped at step %d: %s", state.global_step, why)


GOALS = (ScoringBudget, ScoreReached)
