"""Rewards from a UME: how natural the encoder finds what a policy wrote.

    reward = score / temperature                score = how natural it is beside real sequences, or any `ScoringFunction`

The score lies in [0, 1], so 0, the reward of everything that is no molecule, is the worst there is.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lobster.constants import LongSequences, Modality
from lobster.model import Encoder
from lobster.model.encoder import Errors
from lobster.model.pseudo_likelihood import Method
from lobster.processes import failing_together, from_all_processes
from lobster.rl_training.diversity import DiversityMemory
from lobster.rl_training.top_sequences import TopSequences
from lobster.scoring.completions import Outcome, Scored, continued, written_text
from lobster.scoring.components import PSEUDO_LIKELIHOOD
from lobster.scoring.parameters import number
from lobster.scoring.scorer import References, Scorer, Scoring
from lobster.sequences import SmilesOptions

TEMPERATURE = 0.1  # of modalities for which none is given
UNIQUENESS_WINDOW = 512  # molecules among which the share of different ones is logged

Temperature = float | Mapping[Modality | str, float]
Listener = Callable[[Sequence[Any], Sequence[Any], Sequence[Scored], list[float]], None]


def compute_pseudo_likelihood(
    ume_model: Encoder,
    sequences: Sequence[str],
    modality: Modality | str,
    batch_size: int = 8,
    method: Method = "strided",
    errors: Errors = "raise",
    long_sequences: LongSequences = "refuse",
) -> list[float]:
    """Return the masked pseudo-likelihood, in (0, 1], of each sequence; see `Encoder.compute_pseudo_likelihood`.

    >>> from lobster.model import load_encoder
    >>> ume = load_encoder("ume-mini-base-12M", device="cpu")
    >>> [0 < p <= 1 for p in compute_pseudo_likelihood(ume, ["CCO", "CCN"], "SMILES")]
    [True, True]
    """
    return ume_model.compute_pseudo_likelihood(sequences, modality, batch_size, method, errors, long_sequences)


class UmeRewardFunction(Scorer):
    """Sequences in, rewards out: score / temperature, and 0 for what is no molecule.

    The score says how natural a sequence is beside real ones (`default_scoring`, `lobster.scoring.reference`), or is what a
    scoring function of your own makes of it.

    A SMILES is scored in RDKit's canonical form: the molecule counts, not its spelling; likewise proteins and nucleotides
    (`lobster.sequences.normal_form`). What the encoder's vocabulary lacks earns 0. The reward is never negative,
    NaN or infinite, whatever the text. A failure while scoring gives 0, a warning and a count; when the encoder or a component
    fails on every sequence that it is asked about in `MAX_FAILED_CALLS` calls in a row, it raises instead of training on zeros.

    Args:
        ume_model: The encoder, a UME or any other (`load_encoder`). It is frozen, and run where the scoring function asks for
            its pseudo-likelihood.
        temperature: What the score is divided by. It matters where rewards are not rescaled
            (``scale_rewards="none"``): the optimum of GRPO is then policy₀ · exp(reward / beta). One number, or one for each
            modality, ``{"SMILES": 0.1, "amino_acid": 0.05}``; modalities that are left out have 0.1.
        batch_size, scoring, smiles_options, long_sequences, reference: As of `Scorer`.

    Raises:
        ValueError: A temperature is not a positive number, the batch size not at least 1, or the scoring wrong.
        FileNotFoundError: There is no such YAML file.

    >>> from lobster.model import load_encoder
    >>> reward = UmeRewardFunction(load_encoder("ume-mini-base-12M", device="cpu"))
    >>> aspirin, again, ethanol, broken = reward(["CC(=O)Oc1ccccc1C(=O)O", "OC(=O)c1ccccc1OC(C)=O", "CCO", "C1CC"])
    >>> aspirin == again > ethanol > broken == 0.0
    True
    >>> reward.get_statistics()["zero_rewards"]
    {'undetectable': 1}
    """

    def __init__(
        self,
        ume_model: Encoder,
        temperature: Temperature = TEMPERATURE,
        batch_size: int = 8,
        scoring: Scoring | None = None,
        smiles_options: SmilesOptions | Mapping[str, bool] | None = None,
        long_sequences: LongSequences = "refuse",
        reference: References | None = None,
    ):
        super().__init__(ume_model, scoring, reference, smiles_options, long_sequences, batch_size)
        self.temperature = temperature
        _temperatures(temperature)
        self.reset_statistics()

    def __call__(
        self, sequences: Sequence[str], modalities: Sequence[Modality | str | None] | Modality | str | None = None
    ) -> list[float]:
        """Return the reward of each sequence, and count it in the statistics; see `score`.

        Raises:
            RuntimeError: The encoder or a component failed on every sequence of several calls in a row.
        """
        scored = self.score(sequences, modalities)
        rewards = [self.reward(item) for item in scored]
        self.record(scored, rewards)
        return rewards

    @property
    def temperatures(self) -> dict[Modality, float]:
        """The temperature of each modality."""
        return _temperatures(self.temperature)

    def reward(self, scored: Scored) -> float:
        """Return score · novelty weight / temperature, 0 for what has no score."""
        return scored.score * scored.novelty_weight / self.temperatures[scored.modality] if scored.modality else 0.0

    def record(self, scored: Sequence[Scored], rewards: Sequence[float]) -> None:
        """Count rewards in the statistics."""
        for item, reward in zip(scored, rewards, strict=True):
            self._total.add(reward)
            if item.modality:
                self._rewards[item.modality].add(reward)
            if item.outcome is not Outcome.SCORED:
                self._zeros[item.outcome.value] += 1

    def reset_statistics(self) -> None:
        """Forget all counts."""
        self._total, self._rewards = _Running(), {m: _Running() for m in Modality}
        self._zeros: Counter[str] = Counter()
        self._lookups = self._scorings = 0
        self.scoring.failures.clear()

    def get_statistics(self) -> dict[str, Any]:
        """Return what was rewarded since the start.

        Returns:
            ``count``, ``mean``, ``min``, ``max`` of the rewards (NaN where there was none), ``by_modality`` with the
            same for each modality that came; ``zero_rewards``, the count for each reason; ``cache_hit_rate``, the share of
            readable sequences whose score was known; ``failed_components``, how often each component failed.
        """
        return self._total.summary() | {
            "by_modality": {m.value: part.summary() for m, part in self._rewards.items() if part.count},
            "zero_rewards": dict(self._zeros),
            "cache_hit_rate": self.cache_hit_rate,
            "failed_components": dict(self.scoring.failures),
        }


class _Running:
    """Count, mean, minimum and maximum of numbers that come one by one."""

    def __init__(self) -> None:
        self.count, self.sum, self.min, self.max = 0, 0.0, math.inf, -math.inf

    def add(self, value: float) -> None:
        self.count += 1
        self.sum += value
        self.min, self.max = min(self.min, value), max(self.max, value)

    def summary(self) -> dict[str, float]:
        if not self.count:
            return {"count": 0, "mean": math.nan, "min": math.nan, "max": math.nan}
        return {"count": self.count, "mean": self.sum / self.count, "min": self.min, "max": self.max}


class UmeReward:
    """A UME reward that TRL's trainers can call: a picklable object with a name of its own.

    Args:
        reward_function: What turns sequences into rewards.
        include_prompt: Whether the molecule is the prompt and the completion together, for policies that continue a
            prefix. The prompts are plain text then.
        diversity: Pays less for what is no longer new; None pays always.
        name: The name of the metrics; two rewards in one trainer need different ones.

    Attributes:
        top_sequences: The best distinct sequences so far, and how many were scored.
        listeners: Called with the prompts, the completions, what was made of each, and the rewards; not in evaluations.
    """

    def __init__(
        self,
        reward_function: UmeRewardFunction,
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
            columns: Whatever else TRL passes; it is not used.

        Raises:
            RuntimeError: The encoder or a component failed on every sequence, of all processes, of several calls in a row.
            ValueError: ``include_prompt`` is set and a prompt is not plain text.
        """
        written = [written_text(completion) for completion in (() if completions is None else completions)]
        texts = continued(prompts, written) if self.include_prompt else written
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


def _temperatures(temperature: Temperature) -> dict[Modality, float]:
    """Return the temperature of each modality.

    Raises:
        ValueError: One is not a positive number, or a modality is unknown or named twice.
    """
    if not isinstance(temperature, Mapping):
        temperature = dict.fromkeys(Modality, temperature)
    given = [(Modality(name), value) for name, value in temperature.items()]
    if len(dict(given)) < len(given):
        raise ValueError(f"temperature is {dict(temperature)}: a modality is named twice")
    found = dict.fromkeys(Modality, TEMPERATURE)
    for modality, value in given:
        try:
            found[modality] = float(number(value))
        except ValueError:
            found[modality] = math.nan
        if not 1e-6 <= found[modality] <= 1e6:  # beyond that float32 rewards lose their meaning
            raise ValueError(f"temperature is {value!r}: expected a positive number, such as 0.1")
    return found


def create_ume_reward_wrapper(
    ume_model: Encoder,
    temperature: Temperature = TEMPERATURE,
    batch_size: int = 8,
    include_prompt: bool = False,
    diversity: DiversityMemory | None = None,
    scoring: Scoring | None = None,
    name: str = "ume_reward",
    smiles_options: SmilesOptions | Mapping[str, bool] | None = None,
    long_sequences: LongSequences = "refuse",
    reference: References | None = None,
) -> UmeReward:
    """Make a reward that TRL can call, ``GRPOTrainer(reward_funcs=create_ume_reward_wrapper(ume))``.

    Args: see `UmeRewardFunction` and `UmeReward`.

    >>> from lobster.model import load_encoder
    >>> reward = create_ume_reward_wrapper(load_encoder("ume-mini-base-12M", device="cpu"))
    >>> valid, invalid = reward(prompts=["", ""], completions=["CCO", "CC("], modality=["SMILES", "SMILES"])
    >>> valid > invalid == 0.0
    True
    """
    function = UmeRewardFunction(ume_model, temperature, batch_size, scoring, smiles_options, long_sequences, reference)
    return UmeReward(function, include_prompt, diversity, name)
