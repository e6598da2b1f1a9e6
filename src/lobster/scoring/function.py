"""A score made of components, written in Python or YAML."""

import math
import sys
import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from lobster.constants import Modality
from lobster.scoring.components import (
    PSEUDO_LIKELIHOOD,
    Component,
    ScoringError,
    import_from,
    kinds,
    nearest,
)
from lobster.scoring.reference import ENVIRONMENTS, MEASURES, NATURALNESS, TYPICALITY
from lobster.workers.measured import Measured, as_float, in_one_line

COMBINATIONS = ("geometric", "arithmetic")
TOLERANCE = 1e-6  # how far outside of [0, 1] a score may be, which is a matter of rounding


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
            raise ScoringError(f"{file} is not YAML: {in_one_line(error)}") from error
        folder = Path(file).parent
        import_from(folder)
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
        """Score one sequence in its normal form, as `score` does; None where no component is about its modality."""
        scores = self.score([sequence], modality, [pseudo_likelihood], [beside_reference])
        return None if scores is None else scores[0]

    def score(
        self,
        sequences: Sequence[str],
        modality: Modality | str,
        pseudo_likelihoods: Sequence[float] | None = None,
        beside_reference: Sequence[Mapping[str, float] | None] | None = None,
    ) -> list[Score] | None:
        """Score sequences in their normal form; None where no component is about their modality.

        Each component is asked once, for all of them.

        Args:
            sequences: Canonical SMILES, upper-case residues or lower-case bases.
            modality: What they are, all of them.
            pseudo_likelihoods: The UME's, in (0, 1], of each; needed where a component asks for it.
            beside_reference: What `ModalityReference.measure` finds of each; likewise.

        >>> [round(score.total, 2) for score in ScoringFunction([Component("qed")]).score(["CCO", "CC(=O)Oc1ccccc1C(=O)O"], "SMILES")]
        [0.41, 0.55]
        """
        modality = Modality(modality)
        asked = [component for component in self.components if component.applies_to(modality)]
        if not asked:
            return None
        scores = [Score(total=1.0) for _ in sequences]
        for component in asked:
            found = component.measure(sequences, modality, pseudo_likelihoods, beside_reference)
            for score, sequence, measured in zip(scores, sequences, found, strict=True):
                value, part, error = self._worth(component, sequence, measured)
                score.values[component.name], score.parts[component.name] = value, part
                if error:
                    score.errors[component.name] = error
        for score in scores:
            score.total = self._total(score, asked)
        return scores

    def _total(self, score: Score, asked: Sequence[Component]) -> float:
        """Join the scores of the components that were asked."""
        if score.errors:
            return 0.0
        filters = math.prod(score.parts[c.name] for c in asked if c.role == "filter")
        mean = [(c.weight, score.parts[c.name]) for c in asked if c.role == "part"]
        if not mean:
            return filters
        weights = sum(weight for weight, _ in mean)
        if self.combine == "arithmetic":
            return filters * sum(weight * part for weight, part in mean) / weights
        return filters * math.prod(part ** (weight / weights) for weight, part in mean)

    def _worth(self, component: Component, sequence: str, measured: Measured) -> tuple[float, float, str]:
        """Return a component's value and score, and what was wrong with them."""
        value, why = measured
        part = 0.0
        if not why:
            try:
                part = as_float(component.transform(value)) if component.transform else value
                if not (math.isfinite(value) and -TOLERANCE <= part <= 1 + TOLERANCE):
                    raise ValueError(
                        f"its value is {value}, its score {part}: expected a finite number, a score in [0, 1]"
                    )
            except Exception as error:  # a transform of somebody else's may raise anything
                why = Measured.failed(error).error
        if not why:
            return value, min(1.0, max(0.0, part)), ""
        if not self.failures[component.name]:
            warnings.warn(
                f"component {component.name!r} failed on {sequence[:60]!r}, which scores 0 (said once, "
                f"counted in the statistics): {why}",
                stacklevel=3,
            )
        self.failures[component.name] += 1
        return math.nan, 0.0, why


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


def _check_not_hidden(folder: Path, module: str) -> None:
    """Refuse another module that goes by the name of one in a folder."""
    own, loaded = folder / f"{module}.py", getattr(sys.modules.get(module), "__file__", None)
    if loaded and own.is_file() and not own.samefile(loaded):
        raise ScoringError(f"{own} is hidden by another module {module!r}, {loaded}: rename it")
