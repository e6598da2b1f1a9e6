"""A score made of components, written in Python or YAML."""

import difflib
import importlib
import inspect
import math
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self, SupportsFloat

import yaml

from lobster.constants import Modality
from lobster.scoring import biopolymers, molecules
from lobster.scoring.complexity import complexity
from lobster.scoring.parameters import fit, number, signature
from lobster.scoring.reference import ENVIRONMENTS, MEASURES, NATURALNESS, TYPICALITY
from lobster.scoring.transforms import TRANSFORMS, Transform

PSEUDO_LIKELIHOOD = "pseudo_likelihood"
ROLES = ("part", "filter")
# What tables and metrics use.
RESERVED_NAMES = set(
    [
        "step",
        "prompt",
        "completion",
        "sequence",
        "modality",
        "score",
        "reward",
        "outcome",
        "valid",
        "novelty_weight",
        "unique",
        "cached",
    ]
)
COMBINATIONS = ("geometric", "arithmetic")
TOLERANCE = 1e-6  # how far outside of [0, 1] a score may be, which is a matter of rounding

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
            biopolymers.reading_frame,
            biopolymers.forbidden_sites,
            biopolymers.motifs,
        )
    },
}
for _modality, _measures in _MEASURES.items():
    _measures["complexity"] = partial(complexity, modality=_modality)
_UNIT = {PSEUDO_LIKELIHOOD, "complexity", "qed", "alerts", "similarity", "substructures", "aromaticity"}
_UNIT |= {
    "secondary_structure",
    "motifs",
    "gc_content",
    "open_reading_frame",
    "reading_frame",
    "forbidden_sites",
    *MEASURES,
}
_EXAMPLES = {Modality.SMILES: "CCO", Modality.AMINO_ACID: "MKTAYIAK", Modality.NUCLEOTIDE: "atggcctaa"}


class ScoringError(ValueError):
    """A scoring function is described wrongly."""


def kinds() -> list[str]:
    """Return the names of all components that exist."""
    return [PSEUDO_LIKELIHOOD, *MEASURES, *sorted({name for measures in _MEASURES.values() for name in measures})]


class Component:
    """One component of a score: a measure of a sequence, and what its value is worth.

    Args:
        kind: ``pseudo_likelihood`` (the UME's); ``naturalness``, ``environments``, ``typicality`` (beside real sequences:
            `lobster.scoring.reference`); ``complexity``; the name of a function in `lobster.scoring.molecules` or
            `lobster.scoring.biopolymers`, or any function from a sequence in its normal form to a number (in YAML its dotted
            name, ``my_module.my_function``; the module may lie in the folder one stands in, or beside the YAML file).
        name: What it is called in metrics and tables; the kind's name by default.
        weight: Weight in the mean.
        role: A ``part`` enters the mean; a ``filter`` multiplies it.
        transform: From the value to a score in [0, 1]: a `Transform`, or its description such as
            ``{"kind": "linear", "low": 0, "high": 5}``. Left out, values must lie in [0, 1] themselves.
        modality: What a function of your own is for; the others are not asked. By default any.
        parameters: The measure's own, such as ``references``. Where it has a list, one string is a list of one.

    Attributes:
        arguments: What it was made of.

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
        described = {"kind": kind, "name": name, "weight": weight, "role": role, "transform": transform}
        self.arguments: dict[str, Any] = {**described, "modality": modality, **parameters}
        if not (callable(kind) or (isinstance(kind, str) and kind)):
            raise ScoringError(f"kind is {kind!r}, expected a name such as qed, or a function")
        self.kind = kind
        default = kind.rpartition(".")[2] if isinstance(kind, str) else getattr(kind, "__name__", type(kind).__name__)
        self.name = default if name is None else name
        if not (isinstance(self.name, str) and self.name):
            raise ScoringError(f"{default}: name is {name!r}, expected text")
        if self.name in RESERVED_NAMES or (self.name in (PSEUDO_LIKELIHOOD, *MEASURES) and self.name != kind):
            raise ScoringError(f"a component cannot be called {self.name!r}, which tables and metrics use: rename it")
        if role not in ROLES:
            raise ScoringError(f"{self.name}: role is {role!r}, expected one of {', '.join(ROLES)}")
        self.weight, self.role = _weight(self.name, weight), role
        self.measures = self._find_measures(modality)
        self.parameters = self._fitted(parameters)
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
            try:
                return dict.fromkeys(Modality if modality is None else [Modality(modality)], measure)
            except ValueError as error:
                raise ScoringError(f"{self.name}: {error}") from error
        if self.kind not in kinds():
            raise ScoringError(f"component {self.kind!r} is unknown: {nearest(self.kind, kinds())}")
        if modality is not None:
            raise ScoringError(f"{self.name}: modality is for functions of your own; {self.kind} has its own")
        return {m: measures[self.kind] for m, measures in _MEASURES.items() if self.kind in measures}

    def _fitted(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters as the measures take them."""
        signatures = [signature(measure) for measure in self.measures.values()]
        keys = set(inspect.signature(Component.__init__).parameters) - {"self", "parameters"}
        for known in signatures:
            keys |= _keys(known, parameters)
        if odd := sorted(parameters.keys() - keys):
            raise ScoringError(f"{self.name}: key {odd[0]!r} is unknown: {nearest(odd[0], keys)}")
        try:
            for known in signatures:
                parameters = fit(parameters, known)
                if known is not None:
                    known.bind("", **parameters)
        except (TypeError, ValueError) as error:
            raise ScoringError(f"{self.name}: {error}") from error
        return parameters

    def _try(self) -> None:
        """Find what is wrong with the parameters before a run does."""
        try:
            for modality, measure in self.measures.items():
                measure(_EXAMPLES[modality], **self.parameters)
        except (TypeError, ValueError, OSError) as error:
            raise ScoringError(f"{self.name}: {error}") from error

    def applies_to(self, modality: Modality) -> bool:
        """Say whether sequences of a modality are measured."""
        if self.kind == ENVIRONMENTS:
            return modality is Modality.SMILES
        return self.kind in (PSEUDO_LIKELIHOOD, *MEASURES) or modality in self.measures

    def measure(
        self,
        sequence: str,
        modality: Modality,
        pseudo_likelihood: float,
        beside_reference: Mapping[str, float] | None = None,
    ) -> float:
        """Return the value for a sequence, before the transform.

        Raises:
            TypeError: The measure returned no number; and whatever it raises itself.
            ValueError: It needs a reference, and there is none of the modality.
        """
        if self.kind == PSEUDO_LIKELIHOOD:
            return pseudo_likelihood
        if self.kind in MEASURES:
            if beside_reference is None:
                raise ValueError(f"there is no reference of {modality} sequences: pass reference=FILE of real ones")
            return beside_reference[str(self.kind)]
        return _as_float(self.measures[modality](sequence, **self.parameters))

    def version(self) -> Hashable:
        """Return something that differs once a file among the parameters has changed."""
        texts = [value if isinstance(value, (list, tuple)) else [value] for value in self.parameters.values()]
        return molecules.file_versions(tuple(text for some in texts for text in some if isinstance(text, str)))


@dataclass
class Score:
    """What a scoring function makes of one sequence.

    Attributes:
        total: The score, in [0, 1]; 0 where a component failed.
        values: The value of each component before its transform, by name; NaN where it failed.
        parts: The score of each component, in [0, 1], by name; 0 where it failed.
        errors: Why each component that failed did, by name.
    """

    total: float
    values: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


class ScoringFunction:
    """Joins components into one score: the weighted mean of the parts, times the filters.

    A sequence on which a component fails (an exception, no finite number, or a score outside of [0, 1] by more than
    `TOLERANCE`) scores 0; that is counted in `failures`, by component, and warned about once.

    Args:
        components: At least one, each a `Component` or its arguments as a mapping; their names differ.
        combine: The ``geometric`` mean (0 where any part is 0) or the ``arithmetic`` one.

    Raises:
        ScoringError: It cannot be built so.

    >>> scoring = ScoringFunction([Component("qed"), Component("alerts", role="filter")])
    >>> scored = scoring("CC(=O)Oc1ccccc1C(=O)O", Modality.SMILES, pseudo_likelihood=0.6)
    >>> scored.total, {name: round(part, 2) for name, part in scored.parts.items()}
    (0.0, {'qed': 0.55, 'alerts': 0.0})
    """

    def __init__(self, components: Sequence[Component | Mapping[str, Any]], combine: str = "geometric"):
        if combine not in COMBINATIONS:
            raise ScoringError(f"combine is {combine!r}: expected one of {', '.join(COMBINATIONS)}")
        if isinstance(components, (str, Mapping, Component)) or not isinstance(components, Iterable):
            raise ScoringError(f"expected a list of components, got {components!r:.60}")
        self.components = [_component(number, entry) for number, entry in enumerate(components, 1)]
        if not self.components:
            raise ScoringError(f"there is no component: expected at least one of {', '.join(kinds())}")
        counts = Counter(component.name for component in self.components)
        if doubled := [name for name, count in counts.items() if count > 1]:
            raise ScoringError(f"two components are called {doubled[0]!r}: give one of them a name")
        self.combine = combine
        self.failures: Counter[str] = Counter()

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """Build a scoring function from a mapping of what a YAML file would say.

        Raises:
            ScoringError: It says something that is unknown; the message says where.

        >>> ScoringFunction.from_description({"components": [{"kind": "qed"}]}).combine
        'geometric'
        """
        if not isinstance(description, Mapping) or "components" not in description:
            raise ScoringError(f"expected a mapping with a list of components, got {description!r:.60}")
        if odd := sorted(map(str, description.keys() - {"components", "combine"})):
            raise ScoringError(f"key {odd[0]!r} is unknown: {nearest(odd[0], ['components', 'combine'])}")
        return cls(**description)

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
            description = yaml.load(Path(file).read_bytes(), _Loader)
        except yaml.YAMLError as error:
            raise ScoringError(f"{file} is not YAML: {_in_one_line(error)}") from error
        folder = Path(file).parent
        _import_from(folder)
        try:
            scoring = cls.from_description(description)
            for component in scoring.components:
                if isinstance(component.kind, str):
                    _check_not_hidden(folder, component.kind.partition(".")[0])
        except ScoringError as error:
            raise ScoringError(f"{file}: {error}") from error
        return scoring

    @property
    def uses_ume(self) -> bool:
        """Whether a component asks for what the encoder finds."""
        return any(component.kind in (PSEUDO_LIKELIHOOD, *MEASURES) for component in self.components)

    @property
    def uses_reference(self) -> bool:
        """Whether a component asks what a sequence is beside real ones."""
        return any(component.kind in MEASURES for component in self.components)

    def version(self) -> Hashable:
        """Return something that differs once a file among the parameters has changed, and scores with it."""
        return tuple(component.version() for component in self.components)

    def __call__(
        self,
        sequence: str,
        modality: Modality | str,
        pseudo_likelihood: float = math.nan,
        beside_reference: Mapping[str, float] | None = None,
    ) -> Score | None:
        """Score a sequence in its normal form; None where no component is about its modality.

        Args:
            sequence: Canonical SMILES, upper-case residues or lower-case bases.
            modality: What it is.
            pseudo_likelihood: The UME's, in (0, 1]; needed where a component asks for it.
            beside_reference: What `ModalityReference.measure` finds; likewise.
        """
        modality = Modality(modality)
        score = Score(total=1.0)
        mean: list[tuple[float, float]] = []
        for component in self.components:
            if not component.applies_to(modality):
                continue
            value, part, error = self._measure(component, sequence, modality, pseudo_likelihood, beside_reference)
            score.values[component.name], score.parts[component.name] = value, part
            if error:
                score.errors[component.name] = error
                score.total = 0.0
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
        self,
        component: Component,
        sequence: str,
        modality: Modality,
        likelihood: float,
        beside_reference: Mapping[str, float] | None,
    ) -> tuple[float, float, str]:
        """Return a component's value and score, and what was wrong with them."""
        try:
            value = component.measure(sequence, modality, likelihood, beside_reference)
            part = _as_float(component.transform(value)) if component.transform else value
            if not (math.isfinite(value) and -TOLERANCE <= part <= 1 + TOLERANCE):
                raise ValueError(f"its value is {value}, its score {part}: expected a finite number, a score in [0, 1]")
        except Exception as error:  # a part of somebody else's may raise anything; the run goes on
            why = f"{type(error).__name__}: {_in_one_line(error)}"
            if not self.failures[component.name]:
                warnings.warn(
                    f"component {component.name!r} failed on {sequence[:60]!r}, which scores 0 (said once, "
                    f"counted in the statistics): {why}",
                    stacklevel=3,
                )
            self.failures[component.name] += 1
            return math.nan, 0.0, why
        return value, min(1.0, max(0.0, part)), ""


def default_scoring(reference: bool = True) -> ScoringFunction:
    """Return the score that is used where none is named.

    How natural a sequence is beside real ones, and of SMILES how common its atoms' surroundings are, by their geometric mean, the former twice;
    little where it is less than real sequences are, or no coding sequence that can be read to its end.

    Args:
        reference: Whether there is a reference; without one it is the pseudo-likelihood, lowered by `complexity`.

    >>> [component.name for component in default_scoring().components]
    ['naturalness', 'environments', 'typicality', 'reading_frame']
    """
    if not reference:
        return ScoringFunction([Component(PSEUDO_LIKELIHOOD), Component("complexity", role="filter")])
    parts = [Component(NATURALNESS, weight=2), Component(ENVIRONMENTS)]
    return ScoringFunction([*parts, Component(TYPICALITY, role="filter"), Component("reading_frame", role="filter")])


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping: of two lists of components the first would be lost."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        for key, count in Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)).items():
            if count > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _component(number: int, entry: Any) -> Component:
    if isinstance(entry, Component):
        return entry
    if not isinstance(entry, Mapping) or "kind" not in entry:
        raise ScoringError(f"component {number}: expected a mapping with a kind, got {entry!r:.60}")
    try:
        return Component(**{str(key): value for key, value in entry.items()})
    except ScoringError as error:
        raise ScoringError(f"component {number}: {error}") from error


def _weight(name: str, weight: Any) -> float:
    try:
        found = float(number(weight))
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise ScoringError(f"{name}: weight is {weight!r}, expected a positive number")
    return found


def _make_transform(name: str, description: Any) -> Any:
    if description is None or callable(description):
        return description
    if not isinstance(description, Mapping) or "kind" not in description:
        raise ScoringError(f"{name}: transform is {description!r}, expected a mapping such as {{kind: step, low: 1}}")
    parameters = {str(key): value for key, value in description.items() if key != "kind"}
    kind = str(description["kind"])
    if kind not in TRANSFORMS:
        raise ScoringError(f"{name}: transform {kind!r} is unknown: {nearest(kind, TRANSFORMS)}")
    known = inspect.signature(TRANSFORMS[kind])
    if odd := sorted(parameters.keys() - known.parameters.keys()):
        raise ScoringError(f"{name}: key {odd[0]!r} of {kind} is unknown: {nearest(odd[0], known.parameters)}")
    try:
        return TRANSFORMS[kind](**fit(parameters, known))
    except (TypeError, ValueError) as error:
        raise ScoringError(f"{name}: transform {kind}: {error}") from error


def _keys(known: inspect.Signature | None, wanted: Iterable[str]) -> set[str]:
    """Return the names that a measure takes besides the sequence; ``wanted`` too, where it takes any or does not say."""
    if known is None:
        return set(wanted)
    parameters = list(known.parameters.values())[1:]
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    return {p.name for p in parameters} | (set(wanted) if takes_any else set())


def _resolve(name: str) -> Callable[[str], float]:
    _import_from(Path.cwd())
    path, *rest = name.split(".")
    try:
        found = importlib.import_module(path)
        for part in rest:
            path = f"{path}.{part}"
            found = getattr(found, part) if hasattr(found, part) else importlib.import_module(path)
    except Exception as error:  # a module of somebody else's may raise anything
        raise ScoringError(f"function {name!r} was not found: {type(error).__name__}: {_in_one_line(error)}") from error
    if not callable(found):
        raise ScoringError(f"{name!r} is no function but {found!r:.60}")
    return found


def _import_from(folder: Path) -> None:
    """Let modules in a folder be found, after all others; for good: they may import more later, and so may a child process."""
    if (place := str(folder.resolve())) not in sys.path:
        sys.path.append(place)


def _check_not_hidden(folder: Path, module: str) -> None:
    """Refuse another module that goes by the name of one in a folder."""
    own, loaded = folder / f"{module}.py", getattr(sys.modules.get(module), "__file__", None)
    if loaded and own.is_file() and not own.samefile(loaded):
        raise ScoringError(f"{own} is hidden by another module {module!r}, {loaded}: rename it")


def _as_float(value: Any) -> float:
    if not isinstance(value, SupportsFloat):
        raise TypeError(f"expected a number, got {value!r:.60}")
    return float(value)


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name an unknown one may have meant."""
    return f"the nearest that exists is {difflib.get_close_matches(name, list(known), n=1, cutoff=0)[0]!r}"
