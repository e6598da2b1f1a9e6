"""The best molecules that an oracle knows, within a number of calls.

A round: candidates are bred from the best molecules so far, and written by the policy; a surrogate says which of them are worth
a call; the oracle is asked; the policy learns from the best so far, each spelled anew.
"""

import hashlib
import logging
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property
from itertools import chain, islice
from numbers import Integral
from pathlib import Path
from random import Random
from typing import Any

import torch
from rdkit.Chem.Descriptors import NumRadicalElectrons

from lobster.device import resolve_device
from lobster.optimisation.folder import search_folder
from lobster.optimisation.genetic import offspring
from lobster.optimisation.oracle import Ask, Oracle, asked, described
from lobster.optimisation.result import Result
from lobster.optimisation.surrogate import BITS, TanimotoProcess, fingerprints
from lobster.optimisation.writer import Writer
from lobster.resume import differences
from lobster.scoring.scorer import MAX_FAILED_CALLS
from lobster.sequences import canonical_smiles
from lobster.sequences.chemistry import parse_smiles, random_spelling
from lobster.sequences.environments import common_neighbourhoods, neighbourhoods, real_neighbourhoods
from lobster.workers.measured import Measured

logger = logging.getLogger(__name__)

# The budget's schedule: a share of it, but at least and at most so many calls.
START = (0.02, 20, 200)  # what the policy writes unasked
ROUND = (0.005, 10, 50)
CANDIDATES = 4  # for each call; the surrogate chooses among them
REWRITTEN = 1  # of these the policy writes
CLONED = 0.2  # share of children that have one parent
SEEN = 1000  # molecules that the surrogate is fitted to, two thirds of them the best
LEARNING_RATE = 5e-4
CALLS_A_STEP = 50  # of learning
REPLAY, REPLAY_BATCH = 256, 16  # the best molecules so far, and how many of them make a step
MAX_EMPTY_ROUNDS = 20  # after as many in a row without a new molecule there are none


def optimise(
    oracle: Oracle,
    budget: int = 10_000,
    policy: str | Path = "smiles-policy-7M",
    output_dir: str | Path | None = None,
    resume: bool = False,
    seed: int = 0,
    batch: bool = False,
    device: str | None = None,
    on_round: Callable[[Result], None] | None = None,
    start: Sequence[str] = (),
) -> Result:
    """Find the molecules that an oracle scores highest within a budget of calls.

    Each different molecule costs one call, however often and in whatever spelling it comes up; what is no molecule, or a radical, costs none.
    What is set: a fiftieth of the budget (20 to 200 calls) goes to molecules that the policy writes unasked. Then rounds of a
    two-hundredth of it (10 to 50 calls): four candidates a call are bred from the best molecules so far (crossover and mutation
    of graphs) and written by the policy (which ends the best ones anew, cut at a random place), of atoms that are bound as in real
    molecules, ``start`` or what the policy wrote unasked; a Gaussian process over the fingerprints of what was asked chooses among
    them; and the policy learns from the 256 best, each in a random spelling.

    Args:
        oracle: A function of a canonical SMILES, higher is better; or a score as in `lobster.scoring`: a `ScoringFunction`, a
            `Component`, a mapping, a YAML file, the name of a component, or a `Scorer` where an encoder is asked.
        budget: How many different molecules it may be asked about.
        policy: The causal language model to start from: a name that ships, a folder or a Hub id.
        output_dir: Folder for what was found and the state of the search; by default nothing is kept.
        resume: Go on with the search in ``output_dir``, to the same end as one that was never stopped, or within a larger budget.
        seed: Of everything that is drawn. The same seed on the same machine gives the same molecules.
        batch: Whether a function takes a list of SMILES and returns as many numbers.
        device: Where the policy runs; CUDA where there is one.
        on_round: Called after each round with the result so far.
        start: Molecules to ask about first, such as known ones to do better than; what is no molecule in one piece, or a radical,
            is passed over with a warning.

    Raises:
        ValueError: The budget is no whole number or below 1, ``start`` no list of texts, none of it a molecule, or the search in
            ``output_dir`` had other settings.
        FileExistsError: ``output_dir`` holds a search, and ``resume`` is off; or another search is at work in it.
        OSError: ``output_dir`` cannot be written to, or there is no space left.
        RuntimeError: The oracle failed on every molecule of many rounds, or the policy writes nothing new.
        KeyboardInterrupt: Ctrl-C; the message says how to go on.

    >>> result = optimise("qed", budget=40)
    >>> len(result.molecules), result.best(1)[0][1] > 0.8
    (40, True)
    """
    number: Any = budget
    if isinstance(number, bool) or not isinstance(number, Integral) or number < 1:
        raise ValueError(f"budget is {budget!r}: expected a whole number of calls, at least 1")
    first = list(start)
    if odd := [start] if isinstance(start, str) else [text for text in first if not isinstance(text, str)]:
        raise ValueError(f"start has {odd[0]!r}: expected a list of SMILES")
    ask = asked(oracle, batch)
    with search_folder(output_dir, resume) if output_dir is not None else nullcontext() as folder:
        asked_once = folder.remembering(ask, described(oracle)) if folder else ask
        search = Search(asked_once, budget, policy, seed, device, first)
        try:
            with warnings.catch_warnings():
                # They are of a reward; see `_answers`.
                warnings.filterwarnings("ignore", "component .* failed on|scoring .* failed")
                if folder:
                    folder.restore(search)
                while len(search.scores) < budget:
                    search.round()
                    if folder:
                        folder.save(search)
                    if on_round:
                        on_round(search.result)
        except KeyboardInterrupt as interruption:
            kept = (
                f"what the oracle said is in {output_dir}, go on with --resume (resume=True)"
                if folder
                else "nothing is kept"
            )
            raise KeyboardInterrupt(f"the search was stopped: {kept}") from interruption
        return search.result


class Search:
    """The state of a search: what was asked, the policy as it is now, and the random numbers.

    Args:
        ask: The oracle.
        budget: How many calls it may be asked.
        policy: A name that ships, a folder or a Hub id.
        seed: Of everything that is drawn.
        device: Where the policy runs.
        start: Molecules to ask about first.

    Attributes:
        scores: What the oracle said of each canonical SMILES, in the order of the calls; NaN where it failed.
    """

    def __init__(
        self,
        ask: Ask,
        budget: int,
        policy: str | Path,
        seed: int,
        device: str | None,
        start: Sequence[str] = (),
    ):
        self.ask, self.budget = ask, budget
        self.settings = {"budget": budget, "policy": str(policy), "seed": seed, "start": _known_as(start)}
        self.scores: dict[str, float] = {}
        self._unasked = _share(budget, *START)  # molecules that the policy writes unasked
        self._known = real_neighbourhoods().union(*map(neighbourhoods, filter(None, map(canonical_smiles, start))))
        self._check_start(start)
        self._start = self._new(start)  # begins once it is asked, after `restore`
        self._fingerprints = torch.empty(0, BITS)
        self._random = Random(seed)
        self._writer = Writer(policy, LEARNING_RATE, seed, resolve_device(device))
        self._empty_rounds = self._failed_rounds = 0
        self._has_failed = False

    @property
    def result(self) -> Result:
        """What has come of it so far."""
        return Result(list(self.scores), list(self.scores.values()), self.budget)

    @property
    def is_failing(self) -> bool:
        """Whether the oracle failed on every molecule of the last round, as in an outage."""
        return self._failed_rounds > 0

    def round(self) -> None:
        """Ask the oracle about a round's molecules, then learn.

        Raises:
            RuntimeError: Nothing has come of many rounds.
        """
        calls = min(_share(self.budget, *ROUND), self.budget - len(self.scores))
        ranked = self._ranked()
        found = list(islice(self._start, calls))
        if not found and (len(self.scores) < self._unasked or not self._differ(ranked)):
            found = list(islice(self._new(self._writer.write(calls)), calls))
        elif not found:
            self._learn(ranked, math.ceil(calls / CALLS_A_STEP))
            found = self._chosen(list(self._candidates(ranked, calls)), ranked, calls)
        answers = self._answers(found)
        if found:
            self._fingerprints = torch.cat([self._fingerprints, fingerprints(found)])
        self._watch(answers)

    def ask_again(self) -> None:
        """Ask the oracle about the molecules on which it failed."""
        self._answers([molecule for molecule, score in self.scores.items() if math.isnan(score)])

    def _answers(self, molecules: list[str]) -> list[Measured]:
        """Return what the oracle says of molecules, and note it."""
        answers = list(self.ask(molecules)) if molecules else []
        for molecule, answer in zip(molecules, answers, strict=True):
            if answer.error and not self._has_failed:
                logger.warning(
                    "the oracle failed on %s (said once; such a call has no score): %s", molecule, answer.error
                )
            self._has_failed |= bool(answer.error)
            self.scores[molecule] = math.nan if answer.error else answer.value
        return answers

    def _check_start(self, start: Sequence[str]) -> None:
        """Say what of it is passed over.

        Raises:
            ValueError: All of it is.
        """
        if not (odd := [text for text in start if not any(self._new([text]))]):
            return
        what = (
            f"start: {len(odd)} of {len(start)} texts are no molecule in one piece, or radicals, such as {odd[0]!r:.60}"
        )
        if len(odd) == len(start):
            raise ValueError(f"{what}: expected a SMILES each, without a salt")
        logger.warning("%s; they are passed over", what)

    def _ranked(self) -> list[str]:
        """Return the molecules that have a score, the best first; of equals the earlier one."""
        known = [molecule for molecule, score in self.scores.items() if not math.isnan(score)]
        return sorted(known, key=lambda molecule: -self.scores[molecule])

    def _differ(self, ranked: Sequence[str]) -> bool:
        """Say whether the oracle has told any two molecules apart: before, there is nothing to breed for."""
        return len(ranked) > 1 and self.scores[ranked[0]] > self.scores[ranked[-1]]

    def _new(self, texts: Iterable[str | None]) -> Iterator[str]:
        """Yield what is a molecule, in one piece and no radical, and has not come up."""
        found = set(self.scores)
        for smiles in (canonical_smiles(text) for text in texts if text):
            if smiles and smiles not in found and "." not in smiles and not NumRadicalElectrons(parse_smiles(smiles)):
                found.add(smiles)
                yield smiles

    def _candidates(self, ranked: Sequence[str], calls: int) -> Iterator[str]:
        """Yield candidates for a number of calls."""
        rewritten = self._writer.rewrite([self._drawn(ranked) for _ in range(REWRITTEN * calls)], self._random)
        bred = (self._child(ranked) for _ in range(10 * CANDIDATES * calls))  # most are none, or known, or no chemistry
        known = (smiles for smiles in self._new(chain(rewritten, bred)) if neighbourhoods(smiles) <= self._chemistry)
        return islice(known, CANDIDATES * calls)

    @cached_property
    def _chemistry(self) -> frozenset[int]:
        """What a candidate's atoms may be bound to, as real molecules are, one to start with, or two that the policy wrote unasked."""
        return self._known.union(common_neighbourhoods(islice(self.scores, self._unasked)))

    def _drawn(self, ranked: Sequence[str]) -> str:
        """Return a molecule from the best share of all, which is drawn between a thousandth and all, evenly in its logarithm."""
        best = math.ceil(len(ranked) * 10 ** self._random.uniform(-3, 0))
        return ranked[self._random.randrange(best)]

    def _child(self, ranked: Sequence[str]) -> str | None:
        mother = self._drawn(ranked)
        father = mother if self._random.random() < CLONED else self._drawn(ranked)
        return offspring(mother, father, self._random)

    def _chosen(self, candidates: list[str], ranked: Sequence[str], calls: int) -> list[str]:
        """Return the candidates that may be best: by the surrogate's mean, and a multiple of its deviation that varies by rounds."""
        if not candidates:
            return []
        best, others = ranked[: SEEN * 2 // 3], ranked[SEEN * 2 // 3 :]
        seen = [*best, *self._random.sample(others, min(len(others), SEEN - len(best)))]
        places = {molecule: place for place, molecule in enumerate(self.scores)}
        surrogate = TanimotoProcess(
            self._fingerprints[[places[molecule] for molecule in seen]],
            torch.tensor([self.scores[molecule] for molecule in seen], dtype=torch.float64),
        )
        mean, deviation = surrogate.predict(fingerprints(candidates))
        bound = mean + 10 ** self._random.uniform(-1, 0.5) * deviation
        return [candidates[place] for place in bound.argsort(descending=True, stable=True)[:calls].tolist()]

    def _learn(self, ranked: Sequence[str], steps: int) -> None:
        """Let the policy learn from the best molecules that are better than the worst, each spelled anew."""
        worst = self.scores[ranked[-1]]
        best = [molecule for molecule in ranked[:REPLAY] if self.scores[molecule] > worst]
        for _ in range(steps):
            self._writer.learn([self._spelled(self._drawn(best)) for _ in range(REPLAY_BATCH)])

    def _spelled(self, molecule: str) -> str:
        return random_spelling(molecule, self._random.getrandbits(32))

    def _watch(self, answers: Sequence[Measured]) -> None:
        self._empty_rounds = 0 if answers else self._empty_rounds + 1
        self._failed_rounds = self._failed_rounds + 1 if answers and all(answer.error for answer in answers) else 0
        if self._failed_rounds >= MAX_FAILED_CALLS:
            raise RuntimeError(
                f"the oracle failed on every molecule of {self._failed_rounds} rounds in a row: {answers[-1].error}. Mend it"
            )
        if self._empty_rounds >= MAX_EMPTY_ROUNDS:
            raise RuntimeError(
                f"no new molecule came up in {self._empty_rounds} rounds: start from another policy, or from molecules (start)"
            )

    def state(self) -> dict[str, Any]:
        """Return all that a search goes on from, for `torch.save`."""
        asked_about = {"molecules": list(self.scores), "scores": list(self.scores.values())}
        return asked_about | {
            "settings": self.settings,
            "unasked": self._unasked,
            "random": self._random.getstate(),
            "policy": self._writer.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` told.

        Raises:
            ValueError: It is of a search with other settings; a larger budget goes on.
        """
        then = state["settings"]
        if changed := differences(then | {"budget": max(then["budget"], self.budget)}, self.settings):
            raise ValueError(
                f"the search to go on with had other settings: {', '.join(changed)}. Give it those, or choose another folder"
            )
        self.scores = dict(zip(state["molecules"], state["scores"], strict=True))
        self._unasked = state["unasked"]
        self._fingerprints = fingerprints(state["molecules"])
        self._random.setstate(state["random"])
        self._writer.restore(state["policy"])


def _known_as(start: Sequence[str]) -> str | None:
    """Return what stands for molecules to begin with in the settings of a search."""
    return f"{len(start)} molecules ({hashlib.sha256(' '.join(start).encode()).hexdigest()[:8]})" if start else None


def _share(budget: int, share: float, least: int, most: int) -> int:
    return max(least, min(most, round(budget * share)))
