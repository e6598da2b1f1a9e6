"""Rewards from a UME: how natural the encoder finds what a policy wrote.

    reward = score / temperature                score = how natural it is beside real sequences, or any `ScoringFunction`

The score lies in [0, 1], so 0, the reward of everything that is no molecule, is the worst there is.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lobster.constants import LongSequences, Modality
from lobster.model import Encoder
from lobster.model.encoder import Errors
from lobster.model.pseudo_likelihood import Method
from lobster.rl_training.diversity import DiversityMemory
from lobster.rl_training.trl_reward import UmeReward
from lobster.scoring.completions import Outcome, Scored
from lobster.scoring.parameters import number
from lobster.scoring.scorer import References, Scorer, Scoring
from lobster.sequences import SmilesOptions

TEMPERATURE = 0.1  # of modalities for which none is given

Temperature = float | Mapping[Modality | str, float]


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
