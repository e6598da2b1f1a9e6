"""Rewards from a UME: how natural the encoder finds what a policy wrote.

    reward = pseudo-likelihood / temperature

The pseudo-likelihood lies in (0, 1], so 0, the reward of everything that is no molecule, is the worst there is.
"""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from lobster.constants import Modality
from lobster.model import Ume
from lobster.model.pseudo_likelihood import Method
from lobster.rl_training.diversity import NoveltyMemory
from lobster.rl_training.scoring import Outcome, Scored, read_completion

# After as many calls in which every sequence failed, the scorer is broken.
MAX_FAILED_CALLS = 3


def compute_pseudo_likelihood(
    ume_model: Ume, sequences: Sequence[str], modality: Modality | str, batch_size: int = 8, method: Method = "strided"
) -> list[float]:
    """Return the masked pseudo-likelihood, in (0, 1], of each sequence; see `Ume.compute_pseudo_likelihood`.

    >>> ume = Ume.from_pretrained("ume-mini-base-12M", device="cpu")
    >>> [0 < p <= 1 for p in compute_pseudo_likelihood(ume, ["CCO", "CCN"], "SMILES")]
    [True, True]
    """
    return ume_model.compute_pseudo_likelihood(sequences, modality, batch_size, method)


class UmeRewardFunction:
    """Sequences in, rewards out: pseudo-likelihood / temperature, and 0 for what is no molecule.

    A SMILES is scored in RDKit's canonical form: the molecule counts, not its spelling. The reward is never negative,
    NaN or infinite, whatever the text. A failure while scoring gives 0, a warning and a count; when nothing but failures
    comes for `MAX_FAILED_CALLS` calls in a row, it raises instead of training on zeros.

    Args:
        ume_model: The encoder. It is frozen.
        temperature: What the pseudo-likelihood is divided by. It matters where rewards are not rescaled
            (``scale_rewards="none"``): the optimum of GRPO is then policy₀ · exp(reward / beta).
        batch_size: Memory to use, in sequences of the encoder's `max_length`.

    Raises:
        ValueError: The temperature is not a positive number, or the batch size not at least 1.

    >>> reward = UmeRewardFunction(Ume.from_pretrained("ume-mini-base-12M", device="cpu"))
    >>> ethanol, again, broken = reward(["CCO", "OCC", "C1CC"])
    >>> ethanol == again > broken == 0.0
    True
    >>> reward.get_statistics()["zero_rewards"]
    {'undetectable': 1}
    """

    def __init__(self, ume_model: Ume, temperature: float = 0.1, batch_size: int = 8):
        if not 1e-6 <= temperature <= 1e6:  # beyond that float32 rewards lose their meaning
            raise ValueError(f"temperature is {temperature}: expected a positive number, such as 0.1")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: expected at least 1")
        self.ume_model = ume_model.freeze()
        self.temperature = temperature
        self.batch_size = batch_size
        self._failed_calls = 0
        self.reset_statistics()

    def __call__(
        self, sequences: Sequence[str], modalities: Sequence[Modality | str | None] | None = None
    ) -> list[float]:
        """Return the reward of each sequence.

        Args:
            sequences: What a policy wrote.
            modalities: The modality that each must have; by default the one that it looks like.

        Raises:
            RuntimeError: Scoring failed for every sequence of several calls in a row.
        """
        scored = self.score(sequences, modalities)
        rewards = [s.pseudo_likelihood / self.temperature for s in scored]
        self.record(scored, rewards)
        return rewards

    def score(
        self, sequences: Sequence[str], modalities: Sequence[Modality | str | None] | None = None
    ) -> list[Scored]:
        """Read and score each sequence: what `__call__` makes rewards of; the statistics are left alone."""
        if isinstance(sequences, str):
            raise TypeError(f"expected a list of sequences, got one string: pass [{sequences[:20]!r}]")
        expected = [None if m is None else Modality(m) for m in modalities or [None] * len(sequences)]
        scored = [read_completion(s, m, self.ume_model.max_length) for s, m in zip(sequences, expected, strict=True)]
        for modality in Modality:
            if items := [s for s in scored if s.outcome is Outcome.SCORED and s.modality is modality]:
                self._fill_in(items, modality)
        self._watch_failures(scored)
        return scored

    def _fill_in(self, items: list[Scored], modality: Modality) -> None:
        """Score sequences of one modality, except those that are too long."""
        try:
            ids = self.ume_model.tokenize([item.sequence for item in items], modality)
            for item, tokens in zip(items, ids, strict=True):
                if len(tokens) > self.ume_model.max_length:
                    item.outcome = Outcome.TOO_LONG
            items = [item for item in items if item.outcome is Outcome.SCORED]
            sequences = [item.sequence for item in items]
            scores = self.ume_model.compute_pseudo_likelihood(sequences, modality, self.batch_size)
        except Exception as error:
            self._fail(items, f"{type(error).__name__}: {error}")
            return
        for item, score in zip(items, scores, strict=True):
            item.pseudo_likelihood = score
        if broken := [item for item in items if not math.isfinite(item.pseudo_likelihood)]:
            self._fail(broken, "the score is not a finite number")

    def _fail(self, items: list[Scored], why: str) -> None:
        self._last_failure = why
        warnings.warn(
            f"scoring {len(items)} {items[0].modality} sequences failed, their reward is 0: {why}", stacklevel=5
        )
        for item in items:
            item.outcome, item.pseudo_likelihood = Outcome.SCORING_FAILED, 0.0

    def _watch_failures(self, scored: list[Scored]) -> None:
        outcomes = {item.outcome for item in scored}
        if Outcome.SCORED in outcomes:
            self._failed_calls = 0
        elif Outcome.SCORING_FAILED in outcomes:
            self._failed_calls += 1
        if self._failed_calls >= MAX_FAILED_CALLS:
            raise RuntimeError(
                f"scoring failed for every sequence of {self._failed_calls} calls in a row, the scorer is broken: "
                f"{self._last_failure}. Check the UME with examples/test_ume_reward.py"
            )

    def record(self, scored: Sequence[Scored], rewards: Sequence[float]) -> None:
        """Count rewards in the statistics."""
        for item, reward in zip(scored, rewards, strict=True):
            self._rewards[item.modality].add(reward)
            if item.outcome is not Outcome.SCORED:
                self._zeros[item.outcome.value] += 1

    def reset_statistics(self) -> None:
        """Forget all counts."""
        self._rewards: dict[Modality | None, _Running] = {m: _Running() for m in (*Modality, None)}
        self._zeros: Counter[str] = Counter()

    def get_statistics(self) -> dict[str, Any]:
        """Return what was rewarded since the start.

        Returns:
            ``count``, ``mean``, ``min``, ``max`` of the rewards (NaN where there was none), ``by_modality`` with the
            same for each modality that came, and ``zero_rewards``, the count for each reason.
        """
        total = _Running()
        for part in self._rewards.values():
            total.merge(part)
        by_modality = {m.value: part.summary() for m, part in self._rewards.items() if m and part.count}
        return total.summary() | {"by_modality": by_modality, "zero_rewards": dict(self._zeros)}


class _Running:
    """Count, mean, minimum and maximum of numbers that come one by one."""

    def __init__(self) -> None:
        self.count, self.sum, self.min, self.max = 0, 0.0, math.inf, -math.inf

    def add(self, value: float) -> None:
        self.count += 1
        self.sum += value
        self.min, self.max = min(self.min, value), max(self.max, value)

    def merge(self, other: "_Running") -> None:
        self.count += other.count
        self.sum += other.sum
        self.min, self.max = min(self.min, other.min), max(self.max, other.max)

    def summary(self) -> dict[str, float]:
        if not self.count:
            return {"count": 0, "mean": math.nan, "min": math.nan, "max": math.nan}
        return {"count": self.count, "mean": self.sum / self.count, "min": self.min, "max": self.max}


class UmeReward:
    """A UME reward that TRL's trainers can call: a picklable object with a name of its own.

    Args:
        reward_function: What turns sequences into rewards.
        include_prompt: Whether the molecule is the prompt and the completion together, for policies that continue a
            prefix (plain prompts only).
        memory: Pays for each molecule once; None pays always.
        name: The name of the metrics; two rewards in one trainer need different ones.
    """

    def __init__(
        self,
        reward_function: UmeRewardFunction,
        include_prompt: bool = False,
        memory: NoveltyMemory | None = None,
        name: str = "ume_reward",
    ):
        self.reward_function = reward_function
        self.include_prompt = include_prompt
        self.memory = memory
        self.__name__ = name

    def __call__(
        self,
        prompts: Sequence[Any] | None = None,
        completions: Sequence[Any] | None = None,
        modality: Sequence[str | None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        log_extra: Callable[[str, list], None] | None = None,
        **columns: Any,
    ) -> list[float]:
        """Return the reward of each completion, plain (a string) or conversational (a list of messages).

        Args:
            prompts: The prompts.
            completions: What the policy wrote.
            modality: The data set's column of that name: the modality that each completion must have.
            log_metric: TRL's logger of numbers.
            log_extra: TRL's logger of columns in the table of completions.
            columns: Whatever else TRL passes; it is not used.
        """
        texts = [_text(completion) for completion in completions or []]
        if self.include_prompt:
            pairs = zip(prompts or [], texts, strict=True)
            texts = [
                prompt + text if isinstance(prompt, str) and isinstance(text, str) else text for prompt, text in pairs
            ]
        scored = self.reward_function.score(texts, modality)
        valid = [item.pseudo_likelihood for item in scored if item.outcome is Outcome.SCORED]
        if self.memory is not None:
            for item, novel in zip(scored, self.memory.novel([item.key for item in scored]), strict=True):
                if item.outcome is Outcome.SCORED and not novel:
                    item.outcome = Outcome.REPEATED
        rewards = [
            item.pseudo_likelihood / self.reward_function.temperature if item.outcome is Outcome.SCORED else 0.0
            for item in scored
        ]
        self.reward_function.record(scored, rewards)
        if log_metric and scored:
            log_metric(f"{self.__name__}/valid", len(valid) / len(scored))
            log_metric(f"{self.__name__}/paid", sum(item.outcome is Outcome.SCORED for item in scored) / len(scored))
            if valid:
                log_metric(f"{self.__name__}/pseudo_likelihood", sum(valid) / len(valid))
        if log_extra:
            log_extra(f"{self.__name__}/pseudo_likelihood", [item.pseudo_likelihood for item in scored])
            log_extra(f"{self.__name__}/outcome", [item.outcome.value for item in scored])
        return rewards


def _text(completion: Any) -> Any:
    """Return the text of a completion; of a conversational one, that of its last message."""
    if isinstance(completion, list) and completion and isinstance(completion[-1], dict):
        return completion[-1].get("content")
    return completion


def create_ume_reward_wrapper(
    ume_model: Ume,
    temperature: float = 0.1,
    batch_size: int = 8,
    include_prompt: bool = False,
    memory: NoveltyMemory | None = None,
    name: str = "ume_reward",
) -> UmeReward:
    """Make a reward that TRL can call, ``GRPOTrainer(reward_funcs=create_ume_reward_wrapper(ume))``.

    Args: see `UmeRewardFunction` and `UmeReward`.

    >>> reward = create_ume_reward_wrapper(Ume.from_pretrained("ume-mini-base-12M", device="cpu"))
    >>> valid, invalid = reward(prompts=["", ""], completions=["CCO", "CC("], modality=["SMILES", "SMILES"])
    >>> valid > invalid == 0.0
    True
    """
    return UmeReward(UmeRewardFunction(ume_model, temperature, batch_size), include_prompt, memory, name)
