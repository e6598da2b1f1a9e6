"""Components of a score: what they are called, take and measure, and what their values are worth."""

import difflib
import importlib
import inspect
import math
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lobster.constants import Modality
from lobster.scoring import biopolymers, molecules
from lobster.scoring.admet import Admet
from lobster.scoring.complexity import complexity
from lobster.scoring.families import family
from lobster.scoring.folding import Plddt
from lobster.scoring.molscore import Molscore
from lobster.scoring.oracles import SETTINGS, Oracle, Settings, module_digest
from lobster.scoring.parameters import fit, number, signature
from lobster.scoring.reference import ENVIRONMENTS, MEASURES
from lobster.scoring.transforms import TRANSFORMS, Transform
from lobster.workers.docking import Docking
from lobster.workers.measured import Measured, in_one_line, one_by_one, together
from lobster.workers.programs import Command, Url

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

Measure = Callable[..., float]

# The measures of each modality by name, and the names of those whose values lie in [0, 1] already.
_MEASURES: dict[Modality, dict[str, Measure]] = {
    Modality.SMILES: {
        f.__name__: f
        for f in (
            *(molecules.qed, molecules.sa_score, molecules.logp, molecules.molecular_weight, molecules.tpsa),
            *(molecules.rings, molecules.rotatable_bonds, molecules.alerts, molecules.similarity),
            *(molecules.substructures, molecules.neighbourhoods),
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
            *(biopolymers.protein_weight, biopolymers.secondary_structure, biopolymers.motifs, family),
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
_UNIT = {
    PSEUDO_LIKELIHOOD,
    "complexity",
    "qed",
    "alerts",
    "similarity",
    "substructures",
    "neighbourhoods",
    "aromaticity",
}
_UNIT |= {
    "family",
    "secondary_structure",
    "motifs",
    "gc_content",
    "open_reading_frame",
    "reading_frame",
    "forbidden_sites",
    *MEASURES,
    *("command", "url", "admet", "molscore"),  # or not: that is for whoever names them to know
    "plddt",
}
# Slow measures, each a class whose arguments are its parameters; `Oracle` asks them. And how, unless that is said.
ORACLES: dict[str, Any] = {
    "command": Command,
    "url": Url,
    "docking": Docking,
    "admet": Admet,
    "molscore": Molscore,
    "plddt": Plddt,
}
_ORACLE_SETTINGS = {"url": {"timeout": 60, "retries": 5}}  # a server may hang, and may be started anew
_IN_PROCESSES = {"workers", "timeout", "retries"}  # settings for which an oracle needs processes of its own
_EXAMPLES = {Modality.SMILES: "CCO", Modality.AMINO_ACID: "MKTAYIAK", Modality.NUCLEOTIDE: "atggcctaa"}


class ScoringError(ValueError):
    """A scoring function is described wrongly."""


def kinds() -> list[str]:
    """Return the names of all components that exist."""
    described = {name for measures in _MEASURES.values() for name in measures}
    return [PSEUDO_LIKELIHOOD, *MEASURES, *sorted(described), *ORACLES]


class Component:
    """One component of a score: a measure of a sequence, and what its value is worth.

    Args:
        kind: ``pseudo_likelihood`` (the UME's); ``naturalness``, ``environments``, ``typicality`` (beside real sequences:
            `lobster.scoring.reference`); ``complexity``; the name of a function in `lobster.scoring.molecules` or
            `lobster.scoring.biopolymers`, or any function from a sequence in its normal form to a number (in YAML its dotted
            name, ``my_module.my_function``; the module may lie in the folder one stands in, or beside the YAML file); or an
            oracle: ``command``, ``url`` (`lobster.workers.programs`), ``docking`` (`lobster.workers.docking`), ``admet``,
            ``molscore``, ``plddt`` (`lobster.scoring.admet`, `lobster.scoring.molscore`, `lobster.scoring.folding`).
        name: What it is called in metrics and tables; the kind's name by default.
        weight: Weight in the mean.
        role: A ``part`` enters the mean; a ``filter`` multiplies it.
        transform: From the value to a score in [0, 1]: a `Transform`, or its description such as
            ``{"kind": "linear", "low": 0, "high": 5}``. Left out, values must lie in [0, 1] themselves.
        modality: What a function of your own is for; the others are not asked. By default any.
        batch: Whether a function of your own takes a list of sequences and returns as many numbers, in one call.
        parameters: How an oracle, or a function of your own, is asked: ``workers``, ``batch_size``, ``timeout``, ``retries``,
            ``cache`` (`Settings` in `lobster.scoring.oracles`). And the measure's own, such as ``references``. Where it has a list, one string is a list of one.

    Attributes:
        arguments: What it was made of.

    Raises:
        ScoringError: Something in it is unknown or does not fit; the message names the nearest that exists.

    >>> Component("qed").name, Component("logp", transform={"kind": "linear", "low": 5, "high": 3}).transform
    ('qed', Linear(low=5, high=3))
    >>> Component("qde")
    Traceback (most recent call last):
    lobster.scoring.components.ScoringError: component 'qde' is unknown: the nearest that exists is 'qed'
    """

    def __init__(
        self,
        kind: str | Callable[..., Any],
        name: str | None = None,
        weight: float = 1.0,
        role: str = "part",
        transform: Transform | Mapping[str, Any] | Callable[[float], float] | None = None,
        modality: Modality | str | None = None,
        batch: bool = False,
        **parameters: Any,
    ):
        described = {"kind": kind, "name": name, "weight": weight, "role": role, "transform": transform}
        self.arguments: dict[str, Any] = {**described, "modality": modality, "batch": batch or None, **parameters}
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
        if not isinstance(batch, bool) or (batch and kind in kinds()):
            raise ScoringError(f"{self.name}: batch is {batch!r}, expected true or false, of a function of your own")
        self.batch = batch
        settings = {key: parameters.pop(key) for key in SETTINGS if key in parameters}
        if kind in [*ORACLES]:
            self.parameters, measure = self._make_slow(parameters)
            self.measures = dict.fromkeys(_modalities(self.name, modality, measure.modalities), measure)
        else:
            self.measures = self._find_measures(modality)
            self.parameters = self._fitted(parameters)
        self.oracle = self._make_oracle(settings) if settings or kind in [*ORACLES] else None
        self.transform = _make_transform(self.name, transform)
        built_in = self.kind in kinds()
        if built_in and self.transform is None and self.kind not in _UNIT:
            raise ScoringError(
                f"{self.name}: its values do not lie in [0, 1], it needs a transform: one of {', '.join(TRANSFORMS)}"
            )
        if built_in and self.oracle is None:
            self._try()

    def _find_measures(self, modality: Modality | str | None) -> dict[Modality, Measure]:
        """Return the measure of each modality that the component is for; the UME's has none here."""
        if callable(self.kind) or "." in self.kind:
            measure = self.kind if callable(self.kind) else resolve_function(self.kind)
            return dict.fromkeys(_modalities(self.name, modality, Modality), measure)
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

    def _make_slow(self, parameters: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """Return the parameters of a slow measure that exists as it takes them, and it."""
        known = inspect.signature(ORACLES[str(self.kind)])
        keys = set(inspect.signature(Component.__init__).parameters) - {"self", "parameters", "batch"}
        if odd := sorted(parameters.keys() - known.parameters.keys()):
            keys |= known.parameters.keys() | set(SETTINGS)
            raise ScoringError(f"{self.name}: key {odd[0]!r} is unknown: {nearest(odd[0], keys)}")
        try:
            parameters = fit(parameters, known)
            known.bind(**parameters)
            return parameters, ORACLES[str(self.kind)](**parameters)
        except (TypeError, ValueError, OSError, ImportError) as error:
            raise ScoringError(f"{self.name}: {in_one_line(error)}") from error

    def _make_oracle(self, settings: dict[str, Any]) -> Oracle:
        """Return who asks the measure as the settings say."""
        measure, kind, batch, known = (
            next(iter(self.measures.values()), None),
            str(self.kind),
            self.batch,
            self.parameters,
        )
        processes = bool(_IN_PROCESSES & settings.keys())
        if kind in ORACLES and measure is not None:
            batch, processes = measure.batch, processes or measure.processes
            settings = _ORACLE_SETTINGS.get(kind, {}) | settings
        elif measure is None or kind in kinds():
            raise ScoringError(f"{self.name}: {min(settings)} is for oracles and functions of your own")
        else:
            self._check_no_clash(measure, settings)
            kind = f"{getattr(measure, '__module__', '')}.{getattr(measure, '__qualname__', '')}"
            if (digest := module_digest(measure)) is None and settings.setdefault("cache", False):
                raise ScoringError(
                    f"{self.name}: a later run cannot tell that a lambda, a closure or an object is the same again: name a "
                    "function of a module, or leave cache out"
                )
            known = known | {"text of the module": digest}
            measure = partial(measure, **self.parameters)
        try:
            return Oracle(self.name, kind, measure, known, batch, Settings.of(settings), processes)
        except ValueError as error:
            raise ScoringError(f"{self.name}: {error}") from error

    def _check_no_clash(self, measure: Measure, settings: Iterable[str]) -> None:
        known = signature(measure)
        if clash := sorted(set(known.parameters if known else ()) & set(settings)):
            raise ScoringError(
                f"{self.name}: {clash[0]} is how an oracle is asked, and a parameter of the function: rename that one"
            )

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
        sequences: Sequence[str],
        modality: Modality,
        pseudo_likelihoods: Sequence[float] | None = None,
        beside_reference: Sequence[Mapping[str, float] | None] | None = None,
    ) -> list[Measured]:
        """Return the value of each sequence, before the transform, or why it has none.

        Args:
            sequences: In their normal form, all of one modality.
            modality: That one.
            pseudo_likelihoods: The UME's, of each, where the component asks for it.
            beside_reference: What `ModalityReference.measure` finds of each; likewise.
        """
        if self.kind == PSEUDO_LIKELIHOOD:
            return [Measured(value) for value in pseudo_likelihoods or [math.nan] * len(sequences)]
        if self.kind in MEASURES:
            absent = ValueError(f"there is no reference of {modality} sequences: pass reference=FILE of real ones")
            return [
                Measured.failed(absent) if found is None else Measured(found[str(self.kind)])
                for found in beside_reference or [None] * len(sequences)
            ]
        if self.oracle:
            return self.oracle(sequences, modality)
        measure = partial(self.measures[modality], **self.parameters)
        if not self.batch:
            return one_by_one(measure, sequences)
        try:
            return together(measure, sequences)
        except Exception as error:  # a part of somebody else's may raise anything; the run goes on
            return [Measured.failed(error)] * len(sequences)

    def version(self) -> Hashable:
        """Return something that differs once a file among the parameters has changed."""
        if self.oracle:
            return self.oracle.version()
        texts = [value if isinstance(value, (list, tuple)) else [value] for value in self.parameters.values()]
        return molecules.file_versions(tuple(text for some in texts for text in some if isinstance(text, str)))


def _modalities(name: str, given: Modality | str | None, possible: Iterable[Modality]) -> list[Modality]:
    """Return the modalities that a measure is for: those that are possible, or the one of them that is given."""
    try:
        found = [*possible] if given is None else [Modality(given)]
    except ValueError as error:
        raise ScoringError(f"{name}: {error}") from error
    if odd := set(found) - {*possible}:
        raise ScoringError(f"{name}: modality is {min(odd)}, expected {' or '.join(possible)}")
    return found


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


def resolve_function(name: str) -> Callable[..., Any]:
    """Return the function of a dotted name; its module may lie in the folder one stands in.

    Raises:
        ScoringError: It was not found, or is no function.
    """
    import_from(Path.cwd())
    path, *rest = name.split(".")
    try:
        found = importlib.import_module(path)
        for part in rest:
            path = f"{path}.{part}"
            found = getattr(found, part) if hasattr(found, part) else importlib.import_module(path)
    except Exception as error:  # a module of somebody else's may raise anything
        raise ScoringError(f"function {name!r} was not found: {type(error).__name__}: {in_one_line(error)}") from error
    if not callable(found):
        raise ScoringError(f"{name!r} is no function but {found!r:.60}")
    return found


def import_from(folder: Path) -> None:
    """Let modules in a folder be found, after all others; for good: they may import more later, and so may a child process."""
    if (place := str(folder.resolve())) not in sys.path:
        sys.path.append(place)


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name an unknown one may have meant."""
    return f"the nearest that exists is {difflib.get_close_matches(name, list(known), n=1, cutoff=0)[0]!r}"
