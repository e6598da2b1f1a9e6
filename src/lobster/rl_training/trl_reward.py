"""The reward as TRL's trainers call it: with prompts, completions and columns, and with loggers of metrics."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lobster.constants import Modality
from lobster.processes import failing_together, from_all_processes
from lobster.rl_training.diversity import DiversityMemory
from lobster.runs.top_sequences import TopSequences
from lobster.scoring.completions import Outcome, Scored, continued, written_text
from lobster.scoring.components import PSEUDO_LIKELIHOOD

if TYPE_CHECKING:
    from lobster.rl_training.reward_functions import UmeRewardFunction

UNIQUENESS_WINDOW = 512  # molecules among which the share of different ones is logged

Listener = Callable[[Sequence[Any], Sequence[Any], Sequence[Scored], list[float]], None]


class UmeReward:
    """A UME reward that TRL's trainers can call: a picklable object with a name of its own.

    Args:
        reward_function: What turns sequences into rewards.
        include_prompt: Whether the molecule is the prompt and the completion together, for policies that continue a
            prefix, and what the data set's column `suffix` has behind them, for those that fill in. The prompts are plain
            text then.
        diversity: Pays less for what is no longer new; None pays always.
        name: The name of the metrics; two rewards in one trainer need different ones.

    Attributes:
        top_sequences: The best distinct sequences so far, and how many were scored.
        listeners: Called with the prompts, the completions, what was made of each, and the rewards; not in evaluations.
    """

    def __init__(
        self,
        reward_function: "UmeRewardFunction",
        include_prompt: bool = False,
        diversity: DiversityMemory | None = None,
        name: str = "ume_reward",
    ):
        self.reward_function = reward_function
        self.include_prompt = include_prompt
        self.diversity = diversity
        self.top_sequences = TopSequences()
        self.listeners: list[Listener] = []
        self._paused = False
        self._recent: deque[tuple[Modality, str]] = deque(maxlen=UNIQUENESS_WINDOW)
        self.__name__ = name

    @failing_together()
    def __call__(
        self,
        prompts: Sequence[Any] | None = None,
        completions: Sequence[Any] | None = None,
        modality: Sequence[str | None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        log_extra: Callable[[str, list], None] | None = None,
        suffix: Sequence[str | None] | None = None,
        **columns: Any,
    ) -> list[float]:
        """Return the reward of each completion, plain (a string) or conversational (a list of messages).

        Where several processes run, all must call it together; what is raised in one is raised in all.

        Args:
            prompts: The prompts.
            completions: What the policy wrote.
            modality: The data set's column of that name: the modality that each completion must have.
            log_metric: TRL's logger of numbers.
            log_extra: TRL's logger of columns in the table of completions.
            suffix: The data set's column of that name: what stands behind each completion, where ``include_prompt`` is set.
            columns: Whatever else TRL passes; it is not used.

        Raises:
            RuntimeError: The encoder or a component failed on every sequence, of all processes, of several calls in a row.
            ValueError: ``include_prompt`` is set and a prompt is not plain text.
        """
        written = [written_text(completion) for completion in (() if completions is None else completions)]
        texts = continued(prompts, written, suffix) if self.include_prompt else written
        scored, faults = self.reward_function.score_with_faults(texts, modality)
        self.reward_function.watch([e for theirs in from_all_processes([faults])[0] for e in theirs])
        molecules = [item.molecule for item in scored]
        valid = [item for item in scored if item.molecule]
        if not self._paused:
            self._remember(scored, molecules)
        rewards = [self.reward_function.reward(item) for item in scored]
        self.reward_function.record(scored, rewards)
        for listener in () if self._paused else self.listeners:
            listener([None] * len(written) if prompts is None else prompts, written, scored, rewards)
        if log_metric and scored:
            for name, value in self._metrics(valid, len(scored)):
                log_metric(f"{self.__name__}/{name}", value)
        if log_extra:
            for name, column in self._columns(scored):
                log_extra(f"{self.__name__}/{name}", column)
        return rewards

    def _remember(self, scored: list[Scored], molecules: list[tuple[Modality, str] | None]) -> None:
        """Take note of molecules, and find the novelty weight of each."""
        self._recent.extend(molecule for molecule in molecules if molecule)
        self.top_sequences.add(scored)
        if self.diversity is None:
            return
        for item, weight in zip(scored, self.diversity.pay(molecules), strict=True):
            item.novelty_weight = weight
            if item.outcome is Outcome.SCORED and weight == 0:
                item.outcome = Outcome.REPEATED

    def _metrics(self, valid: list[Scored], count: int) -> Iterator[tuple[str, float]]:
        yield "valid", len(valid) / count
        yield "score", sum(item.score for item in valid) / count
        yield "novelty_weight", sum(item.novelty_weight for item in valid) / count
        yield "cached", self.reward_function.cache_hit_rate
        names = [component.name for component in self.reward_function.scoring.components]
        for name in names:
            if failures := self.reward_function.scoring.failures[name]:
                yield f"{name}/failed", float(failures)
        if not valid:
            return
        if self._recent:
            yield "unique", len(set(self._recent)) / len(self._recent)
        if self.reward_function.scoring.uses_ume:
            yield PSEUDO_LIKELIHOOD, sum(item.pseudo_likelihood for item in valid) / len(valid)
        for name in names:
            values = [item.values[name] for item in valid if math.isfinite(item.values.get(name, math.nan))]
            if values and name != PSEUDO_LIKELIHOOD:
                yield name, sum(values) / len(values)

    def _columns(self, scored: list[Scored]) -> Iterator[tuple[str, list]]:
        """Columns of the table of completions: the same ones every time, and of full length."""
        yield "outcome", [item.outcome.value for item in scored]
        if self.reward_function.scoring.uses_ume:
            yield PSEUDO_LIKELIHOOD, [item.pseudo_likelihood for item in scored]
        for component in self.reward_function.scoring.components:
            if component.name != PSEUDO_LIKELIHOOD:
                yield component.name, [item.values.get(component.name) for item in scored]
            if component.transform:
                yield f"{component.name}/score", [item.parts.get(component.name) for item in scored]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Remember nothing and pay for everything, for an evaluation."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def save(self, folder: str | Path) -> None:
        """Write what it remembers into a folder."""
        self.top_sequences.save(folder)
        if self.diversity is not None:
            self.diversity.save(folder)

    def load(self, folder: str | Path) -> None:
        """Remember what `save` wrote.

        Raises:
            FileNotFoundError: The folder has none.
        """
        if self.diversity is not None:
            self.diversity.load(folder)
        self.top_sequences.load(folder)
