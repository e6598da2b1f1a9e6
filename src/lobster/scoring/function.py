"""A score made of components, written in Python or YAML."""

import difflib
import inspect
import math
import pkgutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import yaml

from lobster.constants import Modality
from lobster.scoring import biopolymers, molecules
from lobster.scoring.complexity import complexity
from lobster.scoring.transforms import TRANSFORMS, Transform

PSEUDO_LIKELIHOOD = "pseudo_likelihood"
ROLES = ("part", "filter")
# What tables and metrics use.
RESERVED_NAMES = set(
    ["sequence", "modality", "score", "reward", "outcome", "valid", "novelty_weight", "unique", "cached"]
)
COMBINATIONS = ("geometric", "arithmetic")

Measure = Callable[..., float]

# The measures of each modality by name, and the names of those whose values lie in [0, 1] already.
_MEASURES: dict[Modality, dict[str, Measure]] = {
    Modality.SMILES: {
        f.__name__: f
        for f in (
            *(molecules.qed, molecules.sa_score, molecules.logp, molecules.molecular_weight, molecules.tpsa),
            *(molecules.rings, molecules.rotatable_bonds, molecules.alerts, molecules.similarity),
            molecules.substructures,
        )
    },
    Modality.AMINO_ACID: {
        f.__name__: f
        for f in (
            *(
                biopolymers.gravy,
                biopolymers.isoelectric_point,
                biopolymers.charge,
                biopolymers.instability_index,
                biopolymers.aromaticity,
            ),
            *(biopolymers.protein_weight, biopolymers.secondary_structure, biopolymers.motifs),
        )
    },
    Modality.NUCLEOTIDE: {
        f.__name__: f
        for f in (
            biopolymers.gc_content,
            biopolymers.open_reading_frame,
            biopolymers.forbidden_sites,
            biopolymers.motifs,
        )
    },
}
for _modality, _measures in _MEASURES.items():
    _measures["complexity"] = partial(complexity, modality=_modality)
_UNIT = {PSEUDO_LIKELIHOOD, "complexity", "qed", "alerts", "similarity", "substructures", "aromaticity"}
_UNIT |= {"secondary_structure", "motifs", "gc_content", "open_reading_frame", "forbidden_sites"}
_EXAMPLES = {Modality.SMILES: "CCO", Modality.AMINO_ACID: "MKTAYIAK", Modality.NUCLEOTIDE: "atggcctaa"}


class ScoringError(ValueError):
    """A scoring function is described wrongly."""


def kinds() -> list[str]:
    """Return the names of all components that exist."""
    return [PSEUDO_LIKELIHOOD, *sorted({name for measures in _MEASURES.values() for name in measures})]


class Component:
    """One component of a score: a measure of a sequence, and what its value is worth.

    Args:
        kind: ``pseudo_likelihood`` (the UME's), ``complexity``, the name of a function in `lobster.scoring.molecules` or
            `lobster.scoring.biopolymers`, or any function from a sequence in its normal form to a number (in YAML its dotted
            name, ``my_package.my_function``).
        name: What it is called in metrics and tables; the kind's name by default.
        weight: Weight in the mean.
        role: A ``part`` enters the mean; a ``filter`` multiplies it.
        transform: From the value to a score in [0, 1]: a `Transform`, or its description such as
            ``{"kind": "linear", "low": 0, "high": 5}``. Left out, values must lie in [0, 1] themselves.
        modality: What a function of your own is for; the others are not asked. By default any.
        parameters: The measure's own, such as ``references``.

    Raises:
        ScoringError: Something in it is unknown or does not fit; the message names the nearest that exists.

    >>> Component("qed").name, Component("logp", transform={"kind": "linear", "low": 5, "high": 3}).transform
    ('qed', Linear(low=5, high=3))
    >>> Component("qde")
    Traceback (most recent call last):
    lobster.scoring.function.ScoringError: component 'qde' is unknown: the nearest that exists is 'qed'
    """

    def __init__(
        self,
        kind: str | Callable[[str], float],
        name: str | None = None,
        weight: float = 1.0,
        role: str = "part",
        transform: Transform | Mapping[str, Any] | Callable[[float], float] | None = None,
        modality: Modality | str | None = None,
        **parameters: Any,
    ):
        self.kind = kind
        default = kind.rpartition(".")[2] if isinstance(kind, str) else getattr(kind, "__name__", type(kind).__name__)
        self.name = name or default
        if self.name in RESERVED_NAMES:
            raise ScoringError(f"a component cannot be called {self.name!r}, which tables and metrics use: rename it")
        if role not in ROLES:
            raise ScoringError(f"{self.name}: role is {role!r}, expected one of {', '.join(ROLES)}")
        if not (isinstance(weight, (int, float)) and 0 < weight < math.inf):
            raise ScoringError(f"{self.name}: weight is {weight!r}, expected a positive number")
        self.weight, self.role, self.parameters = float(weight), role, parameters
        self.measures = self._find_measures(modality)
        self.transform = _make_transform(self.name, transform)
        built_in = self.kind in kinds()
        if built_in and self.transform is None and self.kind not in _UNIT:
            raise ScoringError(
                f"{self.name}: its values do not lie in [0, 1], it needs a transform: one of {', '.join(TRANSFORMS)}"
            )
        if built_in:
            self._try()

    def _find_measures(self, modality: Modality | str | None) -> dict[Modality, Measure]:
        """Return the measure of each modality that the component is for; the UME's has none here."""
        if callable(self.kind) or "." in self.kind:
            measure = self.kind if callable(self.kind) else _resolve(self.kind)
            found: dict[Modality, Measure] = dict.fromkeys([Modality(modality)] if modality else Modality, measure)
        else:
            found = {m: measures[self.kind] for m, measures in _MEASURES.items() if self.kind in measures}
            if self.kind not in kinds():
                raise ScoringError(f"component {self.kind!r} is unknown: {nearest(self.kind, kinds())}")
            if modality is not None:
                raise ScoringError(f"{self.name}: modality is for functions of your own; {self.kind} has its own")
        keys = set(inspect.signature(Component.__init__).parameters) - {"self", "parameters"}
        for measure in found.values():
            keys |= _parameters(measure, self.parameters)
        if odd := sorted(self.parameters.keys() - keys):
            raise ScoringError(f"{self.name}: key {odd[0]!r} is unknown: {nearest(odd[0], keys)}")
        return found

    def _try(self) -> None:
        """Find what is wrong with the parameters before a run does."""
        try:
            for modality, measure in self.measures.items():
                measure(_EXAMPLES[modality], **self.parameters)
        except (TypeError, ValueError, OSError) as error:
            raise ScoringError(f"{self.name}: {error}") from error

    def applies_to(self, modality: Modality) -> bool:
        """Say whether sequences of a modality are measured."""
        return self.kind == PSEUDO_LIKELIHOOD or modality in self.measures

    def measure(self, sequence: str, modality: Modality, pseudo_likelihood: float) -> float:
        """Return the value for a sequence, before the transform."""
        if self.kind == PSEUDO_LIKELIHOOD:
            return pseudo_likelihood
        return float(self.measures[modality](sequence, **self.parameters))


@dataclass
class Score:
    """What a scoring function makes of one sequence.

    Attributes:
        total: The score, in [0, 1].
        values: The value of each component before its transform, by name; NaN where it failed.
        parts: The score of each component, in [0, 1], by name.
    """

    total: float
    values: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)


class ScoringFunction:
    """Joins components into one score: the weighted mean of the parts, times the filters.

    A component that fails on a sequence (an exception, or no finite number) scores 0 there, is counted in `failures` and
    warned about once.

    Args:
        components: At least one; their names differ.
        combine: The ``geometric`` mean (0 where any part is 0) or the ``arithmetic`` one.

    Raises:
        ScoringError: It cannot be built so.

    >>> scoring = ScoringFunction([Component("qed"), Component("alerts", role="filter")])
    >>> scored = scoring("CC(=O)Oc1ccccc1C(=O)O", Modality.SMILES, pseudo_likelihood=0.6)
    >>> scored.total, {name: round(part, 2) for name, part in scored.parts.items()}
    (0.0, {'qed': 0.55, 'alerts': 0.0})
    """

    def __init__(self, components: Sequence[Component], combine: str = "geometric"):
        if combine not in COMBINATIONS:
            raise ScoringError(f"combine is {combine!r}: expected one of {', '.join(COMBINATIONS)}")
        if not components:
            raise ScoringError(f"there is no component: expected at least one of {', '.join(kinds())}")
        counts = Counter(component.name for component in components)
        if doubled := [name for name, count in counts.items() if count > 1]:
            raise ScoringError(f"two components are called {doubled[0]!r}: give one of them a name")
        self.components, self.combine = list(components), combine
        self.failures: Counter[str] = Counter()

    @classmethod
    def from_yaml(cls, file: str | Path) -> Self:
        """Read a scoring function.

        ```yaml
        combine: geometric
        components:
          - kind: pseudo_likelihood
          - {kind: qed, weight: 2}
          - {kind: molecular_weight, transform: {kind: double_sigmoid, low: 250, high: 450}}
          - {kind: complexity, role: filter}
        ```

        Raises:
            ScoringError: The file says something that is unknown; the message says where.
            FileNotFoundError: There is no such file.
        """
        try:
            found = yaml.safe_load(Path(file).read_text())
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ScoringError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
        if not isinstance(found, dict) or not isinstance(found.get("components"), list):
            raise ScoringError(f"{file}: expected a mapping with a list of components")
        if odd := sorted(map(str, found.keys() - {"components", "combine"})):
            raise ScoringError(f"{file}: key {odd[0]!r} is unknown: {nearest(odd[0], ['components', 'combine'])}")
        components = []
        for number, entry in enumerate(found["components"], 1):
            if not isinstance(entry, dict) or not isinstance(entry.get("kind"), str):
                raise ScoringError(f"{file}, component {number}: expected a mapping with a kind, got {entry!r}")
            try:
                components.append(Component(**{str(key): value for key, value in entry.items()}))
            except ScoringError as error:
                raise ScoringError(f"{file}, component {number}: {error}") from error
        try:
            return cls(components, found.get("combine", "geometric"))
        except ScoringError as error:
            raise ScoringError(f"{file}: {error}") from error

    def __call__(self, sequence: str, modality: Modality, pseudo_likelihood: float) -> Score | None:
        """Score a sequence in its normal form; None where no component is about its modality.

        Args:
            sequence: Canonical SMILES, upper-case residues or lower-case bases.
            modality: What it is.
            pseudo_likelihood: The UME's, in (0, 1].
        """
        score = Score(total=1.0)
        mean: list[tuple[float, float]] = []
        for component in self.components:
            if not component.applies_to(modality):
                continue
            value, part = self._measure(component, sequence, modality, pseudo_likelihood)
            score.values[component.name], score.parts[component.name] = value, part
            if component.role == "part":
                mean.append((component.weight, part))
            else:
                score.total *= part
        if not score.parts:
            return None
        weights = sum(weight for weight, _ in mean)
        if mean and self.combine == "arithmetic":
            score.total *= sum(weight * part for weight, part in mean) / weights
        elif mean:
            zero = any(part == 0 for _, part in mean)
            score.total *= 0.0 if zero else math.exp(sum(w * math.log(part) for w, part in mean) / weights)
        return score

    def _measure(
        self, component: Component, sequence: str, modality: Modality, likelihood: float
    ) -> tuple[float, float]:
        """Return a component's value and score."""
        try:
            value = component.measure(sequence, modality, likelihood)
            part = float(component.transform(value)) if component.transform else value
            if not (math.isfinite(value) and 0 <= part <= 1):
                raise ValueError(f"its value is {value}, its score {part}: expected a finite number, a score in [0, 1]")
        except Exception as error:  # a part of somebody else's may raise anything; the run goes on
            if not self.failures[component.name]:
                warnings.warn(
                    f"component {component.name!r} failed on {sequence[:60]!r} and scores 0 there (said once, "
                    f"counted in the statistics): {type(error).__name__}: {error}",
                    stacklevel=2,
                )
            self.failures[component.name] += 1
            return math.nan, 0.0
        return value, part


def default_scoring() -> ScoringFunction:
    """Return the score that is used where none is named: the pseudo-likelihood, filtered by complexity."""
    return ScoringFunction([Component(PSEUDO_LIKELIHOOD), Component("complexity", role="filter")])


def _make_transform(name: str, description: Any) -> Any:
    if description is None or callable(description):
        return description
    if not isinstance(description, Mapping) or "kind" not in description:
        raise ScoringError(f"{name}: transform is {description!r}, expected a mapping with a kind such as linear")
    parameters = {str(key): value for key, value in description.items() if key != "kind"}
    kind = description["kind"]
    if kind not in TRANSFORMS:
        raise ScoringError(f"{name}: transform {kind!r} is unknown: {nearest(str(kind), TRANSFORMS)}")
    known = inspect.signature(TRANSFORMS[kind]).parameters
    if odd := sorted(parameters.keys() - known.keys()):
        raise ScoringError(f"{name}: key {odd[0]!r} of {kind} is unknown: {nearest(odd[0], known)}")
    try:
        return TRANSFORMS[kind](**parameters)
    except (TypeError, ValueError) as error:
        raise ScoringError(f"{name}: transform {kind}: {error}") from error


def _parameters(measure: Measure, wanted: Iterable[str]) -> set[str]:
    """Return the names that a measure takes besides the sequence; ``wanted`` too, where it takes any or does not say."""
    try:
        parameters = list(inspect.signature(measure).parameters.values())[1:]
    except ValueError:  # some functions of C
        return set(wanted)
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    return {p.name for p in parameters} | (set(wanted) if takes_any else set())


def _resolve(name: str) -> Callable[[str], float]:
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ScoringError(f"function {name!r} was not found: {error}") from error
    if not callable(found):
        raise ScoringError(f"{name!r} is no function but {found!r:.60}")
    return found


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name an unknown one may have meant."""
    return f"the nearest that exists is {difflib.get_close_matches(name, list(known), n=1, cutoff=0)[0]!r}"
