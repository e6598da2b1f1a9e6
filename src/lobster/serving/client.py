"""The reward function that asks a server."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lobster.constants import Modality
from lobster.processes import failing_together
from lobster.scoring.completions import Outcome, continued, written_text
from lobster.scoring.scorer import MAX_FAILED_CALLS

if TYPE_CHECKING:  # which brings TRL with it
    from lobster.rl_training import DiversityMemory


class RemoteReward:
    """A reward that TRL's trainers can call, from a server that `lobster serve` started: score · novelty weight / temperature.

    It is picklable and needs no encoder, so that it may be called in a process without a GPU, as by `AsyncGRPOTrainer`. While
    the server is busy or away it asks again, after 1 s, 2 s, 4 s, 8 s, 8 s … or what the server says.

    Args:
        url: The server's ``http://host:port/score``.
        temperature: What the score is divided by, as of `lobster.rl_training.UmeRewardFunction`.
        include_prompt: Whether the molecule is prompt and completion together, and what the column `suffix` has behind them.
        diversity: Pays less for what is no longer new; None pays always.
        timeout: Seconds to wait for an answer.
        retries: How often it asks again.
        name: The name of the metrics.

    Raises:
        ValueError: The address is none, or the temperature not positive.
        ImportError: `urllib3` is not installed.

    >>> RemoteReward("localhost:8000")
    Traceback (most recent call last):
    ValueError: url is 'localhost:8000', expected http://… or https://…
    """

    def __init__(
        self,
        url: str,
        temperature: float = 0.1,
        include_prompt: bool = False,
        diversity: "DiversityMemory | None" = None,
        timeout: float = 600.0,
        retries: int = 20,
        name: str = "remote_reward",
    ):
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"url is {url!r}, expected http://… or https://…")
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature!r}: expected a positive number, such as 0.1")
        self.url, self.temperature = url, temperature
        self.include_prompt, self.diversity = include_prompt, diversity
        self.timeout, self.retries = timeout, retries
        self._failed_calls = 0
        self.__name__ = name

    @failing_together()
    def __call__(
        self,
        prompts: Sequence[Any] | None = None,
        completions: Sequence[Any] = (),
        modality: Sequence[str | None] | None = None,
        suffix: Sequence[str | None] | None = None,
        **columns: Any,
    ) -> list[float]:
        """Return the reward of each completion, plain or conversational.

        Where several processes run, all must call it together; what is raised in one is raised in all.

        Args:
            prompts: The prompts.
            completions: What the policy wrote.
            modality: The data set's column of that name: the modality that each completion must have.
            suffix: The data set's column of that name: what stands behind each completion, where ``include_prompt`` is set.
            columns: Whatever else TRL passes; it is not used.

        Raises:
            ConnectionError: The server cannot be reached.
            RuntimeError: It refused, or failed, and the message has its reason; or it failed on every sequence of several calls
                in a row.
        """
        texts = [written_text(completion) for completion in completions]
        if self.include_prompt:
            texts = continued(prompts, texts, suffix)
        answer = self._ask([text if isinstance(text, str) else "" for text in texts], modality)
        self._watch(answer["outcomes"])
        rewards = [score / self.temperature for score in answer["scores"]]
        if self.diversity is None:
            return rewards
        found = zip(answer["outcomes"], answer["modalities"], answer["normal_forms"], strict=True)
        molecules = [(Modality(kind), form) if outcome == Outcome.SCORED else None for outcome, kind, form in found]
        return [reward * weight for reward, weight in zip(rewards, self.diversity.pay(molecules), strict=True)]

    def _watch(self, outcomes: Sequence[str]) -> None:
        """Count calls in which everything failed that can be read, as `Scorer.watch` does."""
        failed = [one == Outcome.SCORING_FAILED for one in outcomes if one in (Outcome.SCORED, Outcome.SCORING_FAILED)]
        if failed:
            self._failed_calls = self._failed_calls + 1 if all(failed) else 0
        if self._failed_calls >= MAX_FAILED_CALLS:
            raise RuntimeError(
                f"{self.url} failed on every sequence of {self._failed_calls} calls in a row: mend what its log tells of"
            )

    def _ask(self, sequences: list[str], modality: Sequence[str | None] | None) -> dict[str, list]:
        try:
            import urllib3
        except ImportError as error:
            raise ImportError(
                f"{self.url} is asked by urllib3: pip install 'lobster-rl[serve]'", name="urllib3"
            ) from error

        asked = {"sequences": sequences, "modality": None if modality is None else list(modality)}
        again = urllib3.Retry(
            self.retries,
            allowed_methods=["POST"],  # what is asked twice has the same answer
            status_forcelist=[502, 503, 504],
            backoff_factor=0.5,
            backoff_max=8,
            raise_on_status=False,
        )
        try:
            response = urllib3.request("POST", self.url, json=asked, timeout=self.timeout, retries=again)
        except urllib3.exceptions.HTTPError as error:
            why = getattr(error, "reason", None) or error
            raise ConnectionError(f"{self.url} cannot be reached: {why}") from error
        if response.status != 200:
            raise RuntimeError(f"{self.url} answered {response.status}: {response.data.decode(errors='replace'):.200}")
        return response.json()
