"""From texts to scores: what a policy wrote is read, the encoder is asked, the scoring function decides."""

import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from lobster.constants import LongSequences, Modality
from lobster.scoring.completions import Outcome, Scored, read_completion
from lobster.scoring.components import Component, ScoringError, kinds
from lobster.scoring.function import ScoringFunction, default_scoring
from lobster.scoring.reference import REFERENCE_FILE, Reference
from lobster.sequences import SmilesOptions
from lobster.sequences.modality import MAX_LETTERS

if TYPE_CHECKING:  # an encoder brings torch with it, which worker processes of oracles do without
    from lobster.model import Encoder

MAX_FAILED_CALLS = 3  # after as many calls in which it failed on every sequence, a scorer is broken
CACHE_SIZE = 20_000  # sequences whose scores are kept, about 1 kB each
ENCODER = "the encoder"

Scoring = ScoringFunction | Component | Mapping[str, Any] | str | Path
References = Reference | str | Path | Mapping[Modality | str, str | Path]
Faults = dict[str, list[str]]  # by who was asked, for each sequence what went wrong, "" where nothing did


class Scorer:
    """Reads texts and scores what is a molecule; see `lobster.rl_training.UmeRewardFunction` for what that means.

    What was scored lately is not scored again, what failed is.

    Args:
        encoder: The encoder. It is frozen, and run where the scoring function asks for what it finds.
        scoring: What makes a score of the pseudo-likelihood and everything else: a `ScoringFunction`, a mapping that describes
            one, the YAML file that does, or the name of one component, such as ``"pseudo_likelihood"``.
        reference: Real sequences, which say what is natural: a `Reference`, or a FASTA or SMILES file, or one for each
            modality, that the encoder reads first. Of other modalities, and by default, it is the encoder's own,
            `reference.json` in its folder; where there is none, the score is pseudo-likelihood × complexity.
        smiles_options: What makes a SMILES another molecule, or one at all; see `SmilesOptions`.
        long_sequences: ``"windows"`` scores proteins and nucleotides beyond the encoder's `max_length` in windows that
            overlap, up to `MAX_LETTERS` letters; ``"refuse"`` gives them 0.
        batch_size: Memory to use, in sequences of the encoder's `max_length`.

    Raises:
        ValueError: The batch size is not at least 1, or the scoring or an option is wrong.
        FileNotFoundError: There is no such YAML file.

    >>> from lobster.model import load_encoder
    >>> scorer = Scorer(load_encoder("ume-nano-base-3M", device="cpu"))
    >>> scorer.score(["OCC", "C1CC"])[0].sequence, [item.outcome.value for item in scorer.score(["OCC", "C1CC"])]
    ('CCO', ['scored', 'undetectable'])
    """

    def __init__(
        self,
        encoder: "Encoder",
        scoring: Scoring | None = None,
        reference: References | None = None,
        smiles_options: SmilesOptions | Mapping[str, bool] | None = None,
        long_sequences: LongSequences = "refuse",
        batch_size: int = 8,
    ):
        size: Any = batch_size
        if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
            raise ValueError(f"batch_size is {batch_size!r}: expected a whole number, at least 1")
        if long_sequences not in get_args(LongSequences):
            raise ValueError(
                f"long_sequences is {long_sequences!r}: expected one of {', '.join(get_args(LongSequences))}"
            )
        self.smiles_options = SmilesOptions.of(smiles_options)
        self.long_sequences = long_sequences
        self.encoder = encoder.freeze()
        self.batch_size = batch_size
        self.reference = _reference(encoder, reference)
        self.scoring = default_scoring(self.reference is not None) if scoring is None else scoring_of(scoring)
        if self.scoring.uses_reference and self.reference is None:
            raise ScoringError(
                f"the score asks what is natural, and the encoder has no {REFERENCE_FILE}: pass reference=FILE of real sequences"
            )
        self._failed_calls: Counter[str] = Counter()
        self._cache: dict[tuple[Modality, str], Scored] = {}
        self._version = self.scoring.version()
        self._lookups = self._scorings = 0

    @property
    def cache_hit_rate(self) -> float:
        """Share of readable sequences whose score was known, since the start."""
        return 1 - self._scorings / self._lookups if self._lookups else 0.0

    def score(
        self, sequences: Sequence[str], modalities: Sequence[Modality | str | None] | Modality | str | None = None
    ) -> list[Scored]:
        """Read and score each sequence.

        Args:
            sequences: What a policy wrote, or a file holds.
            modalities: The modality that each must have, or one for all; by default the one that it looks like.

        Raises:
            RuntimeError: The encoder or a component failed on every sequence of several calls in a row.
        """
        scored, faults = self.score_with_faults(sequences, modalities)
        self.watch([faults])
        return scored

    def score_with_faults(
        self, sequences: Sequence[str], modalities: Sequence[Modality | str | None] | Modality | str | None = None
    ) -> tuple[list[Scored], Faults]:
        """Read and score each sequence; return, too, what `watch` has to see, of all processes together."""
        if isinstance(sequences, str):
            raise TypeError(f"expected a list of sequences, got one string: pass [{sequences[:20]!r}]")
        if modalities is None or isinstance(modalities, str):
            modalities = [modalities] * len(sequences)
        if len(modalities) != len(sequences):
            raise ValueError(f"there are {len(sequences)} sequences and {len(modalities)} modalities: expected as many")
        expected = [None if m is None else Modality(m) for m in modalities]
        limited = self.scoring.uses_ume and self.long_sequences == "refuse"
        longest = self.encoder.max_letters if limited else MAX_LETTERS
        pairs = zip(sequences, expected, strict=True)
        scored = [read_completion(s, m, longest, self.smiles_options) for s, m in pairs]
        if self._version != (version := self.scoring.version()):
            self._cache, self._version = {}, version
        molecules = [item.molecule for item in scored]
        fresh = {m: item for m, item in zip(molecules, scored, strict=True) if m and m not in self._cache}
        self._lookups += sum(m is not None for m in molecules)
        self._scorings += len(fresh)
        faults: Faults = defaultdict(list)
        for modality in Modality:
            if items := [item for item in fresh.values() if item.modality is modality]:
                self._fill_in(items, modality, faults)
        for molecule, item in zip(molecules, scored, strict=True):
            if molecule:
                vars(item).update(vars(fresh.get(molecule) or self._cache[molecule]))
        self._cache |= {m: replace(item) for m, item in fresh.items() if item.outcome is not Outcome.SCORING_FAILED}
        while len(self._cache) > CACHE_SIZE:
            del self._cache[next(iter(self._cache))]
        return scored, faults

    def _fill_in(self, items: list[Scored], modality: Modality, faults: Faults) -> None:
        """Score sequences of one modality, except those that are too long or have what the vocabulary lacks."""
        if self.scoring.uses_ume and modality not in self.encoder.modalities:
            for item in items:
                item.outcome = Outcome.WRONG_MODALITY
        elif self.scoring.uses_ume:
            self._ask_encoder(items, modality, faults)
        else:
            for item in items:
                item.pseudo_likelihood = math.nan
        items = [item for item in items if item.outcome is Outcome.SCORED]
        scores = self.scoring.score(
            [item.sequence for item in items],
            modality,
            [item.pseudo_likelihood for item in items],
            [item.beside_reference for item in items],
        )
        if scores is None:  # the scoring function is about other modalities
            for item in items:
                item.outcome = Outcome.WRONG_MODALITY
            return
        for item, whole in zip(items, scores, strict=True):
            item.score, item.values, item.parts = whole.total, whole.values, whole.parts
            for name in whole.values:
                faults[f"component {name!r}"].append(whole.errors.get(name, ""))
            if whole.errors:
                item.outcome = Outcome.SCORING_FAILED

    def _ask_encoder(self, items: list[Scored], modality: Modality, faults: Faults) -> None:
        """Give each sequence its pseudo-likelihood, or the reason why it has none."""
        longest = self.encoder.max_length
        if self.long_sequences == "windows" and modality is not Modality.SMILES:
            longest = MAX_LETTERS
        try:
            ids = self.encoder.tokenize([item.sequence for item in items], modality)
            for item, tokens in zip(items, ids, strict=True):
                if len(tokens) > longest:
                    item.outcome = Outcome.TOO_LONG
                elif self.encoder.unknown_token(tokens, modality) is not None:
                    item.outcome = Outcome.UNKNOWN_TOKEN
            items = [item for item in items if item.outcome is Outcome.SCORED]
            if not items:
                return
            scores = self._pseudo_likelihoods(items, modality)
        except Exception as error:
            self._fail(items, f"{type(error).__name__}: {error}", faults)
            return
        for item, score in zip(items, scores, strict=True):
            item.pseudo_likelihood = score
        if broken := [item for item in items if not math.isfinite(item.pseudo_likelihood)]:
            self._fail(broken, "the score is not a finite number", faults)
        faults[ENCODER] += [""] * (len(items) - len(broken))

    def _pseudo_likelihoods(self, items: list[Scored], modality: Modality) -> list[float]:
        """Return those of sequences that can be read, and note what they are beside the reference where that is asked."""
        sequences = [item.sequence for item in items]
        how: Any = {"batch_size": self.batch_size, "long_sequences": self.long_sequences}
        if not (self.reference and self.scoring.uses_reference and modality in self.reference.parts):
            return self.encoder.compute_pseudo_likelihood(sequences, modality, **how)
        found = self.encoder.token_log_probabilities(sequences, modality, **how)
        measured = self.reference.measure(self.encoder, sequences, modality, found, **how)
        for item, beside in zip(items, measured, strict=True):
            item.beside_reference = beside
        return [math.exp(log_p.mean()) for log_p in found]

    def _fail(self, items: list[Scored], why: str, faults: Faults) -> None:
        faults[ENCODER] += [why] * len(items)
        warnings.warn(
            f"scoring {len(items)} {items[0].modality} sequences failed, their reward is 0: {why}", stacklevel=6
        )
        for item in items:
            item.outcome, item.pseudo_likelihood = Outcome.SCORING_FAILED, 0.0

    def watch(self, processes: Sequence[Faults]) -> None:
        """Count calls in which somebody failed on every sequence, in all processes together.

        Raises:
            RuntimeError: There were `MAX_FAILED_CALLS` of them in a row.
        """
        together: Faults = defaultdict(list)
        for faults in processes:
            for who, found in faults.items():
                together[who] += found
        for who, found in together.items():
            self._failed_calls[who] = self._failed_calls[who] + 1 if all(found) else 0
            if self._failed_calls[who] >= MAX_FAILED_CALLS:
                raise RuntimeError(
                    f"{who} failed on every sequence of {self._failed_calls[who]} calls in a row, the scorer is broken: "
                    f"{found[-1]}. Mend it, or score without it"
                )


def scoring_of(scoring: Scoring) -> ScoringFunction:
    """Return the scoring function that is meant by one, a component, a mapping, a YAML file or a component's name.

    Raises:
        ScoringError: It is described wrongly.
        FileNotFoundError: There is no such YAML file.
    """
    if isinstance(scoring, ScoringFunction):
        return scoring
    if isinstance(scoring, Component):
        return ScoringFunction([scoring])
    if isinstance(scoring, Mapping):
        return ScoringFunction.from_description(scoring)
    if isinstance(scoring, str) and scoring in kinds():
        return ScoringFunction([Component(scoring)])
    if isinstance(scoring, (str, Path)):
        return ScoringFunction.from_yaml(scoring)
    raise ScoringError(f"scoring is {scoring!r:.60}: expected a ScoringFunction, a mapping, or the path of a YAML file")


def _reference(encoder: "Encoder", given: References | None) -> Reference | None:
    """Return the encoder's own reference, of the modalities that are given that one instead."""
    file = encoder.folder / REFERENCE_FILE if encoder.folder else None
    own = Reference.load(file, encoder) if file and file.is_file() else Reference({})
    if given is not None:
        own |= given if isinstance(given, Reference) else Reference.from_files(encoder, given)
    return own if own.parts else None
