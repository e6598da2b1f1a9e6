"""A progress line for GRPO with a UME reward."""

from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback

_SHOWN = {
    "reward": "reward",
    "ume_reward/pseudo_likelihood": "pl",
    "ume_reward/valid": "valid",
    "ume_reward/novelty_weight": "novelty",
    "kl": "kl",
}


class ProgressLine(TrainerCallback):
    """Shows the step, the time left, and the latest reward, mean pseudo-likelihood, validity, novelty weight and KL."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", dynamic_ncols=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.update(state.global_step - self._bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        latest = logs or {}
        shown = {short: f"{latest[name]:.3g}" for name, short in _SHOWN.items() if name in latest}
        if shown:
            self._bar.set_postfix(shown)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.close()
