"""What real sequences are like to an encoder: the measure of what is natural, and of what is typical."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lobster.constants import Modality
from lobster.scoring.biopolymers import reading_frame, translate
from lobster.scoring.environments import Environments
from lobster.scoring.null_model import NullModel
from lobster.sequences import _detect_modality, normal_form, read_sequences

if TYPE_CHECKING:  # an encoder brings torch with it, which worker processes of oracles do without
    from lobster.model import Encoder

REFERENCE_FILE = "reference.json"  # in an encoder's folder
NATURALNESS, ENVIRONMENTS, TYPICALITY = "naturalness", "environments", "typicality"
MEASURES = (NATURALNESS, ENVIRONMENTS, TYPICALITY)

# Sequences that an encoder reads to know what it finds of real ones; frequencies are counted over `_COUNTED` of them.
_READ = {Modality.SMILES: 2000, Modality.AMINO_ACID: 300, Modality.NUCLEOTIDE: 200}
_COUNTED = {Modality.SMILES: 100_000, Modality.AMINO_ACID: 5_000, Modality.NUCLEOTIDE: 3_000}
_RARE = 1e-4  # events and environments of a smaller share of the sequences are not kept
# Quantile of what the null model makes of real sequences, above which it counts against a sequence: what is stranger to
# it gains nothing. Of genes few are: those with as much A and T as G and C are the strangest to it, and as real as others.
_FORESEEN = {Modality.SMILES: 0.75, Modality.AMINO_ACID: 0.5, Modality.NUCLEOTIDE: 0.25}
_CODON = 3  # bases
_FULL = 0.9  # quantile from which on more is not better: what real sequences hardly reach is no sign of being real
_LOWEST = 0.005  # quantile of real sequences where a floor lies …
# … and how much lower, in parts of its logarithmic distance to the median: of up to `_FEW` sequences that were read, of more as
# much less, whose tail is known better.
_MARGIN, _FEW = 0.25, 400
_STEEPNESS = 8  # power of how far below a floor a sequence is
_LEAST = 0.01  # of a typicality: any molecule is better than none
# What an encoder is known again by: aspirin, and the first letters of ubiquitin and of the gene of human insulin.
_PROBES = {
    Modality.SMILES: "CC(=O)Oc1ccccc1C(=O)O",
    Modality.AMINO_ACID: "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEG",
    Modality.NUCLEOTIDE: "atggccctgtggatgcgcctcctgcccctgctg",
}
_TOLERANCE = 0.02  # nats a token by which another machine or precision may read a sequence otherwise


@dataclass(frozen=True)
class Scale:
    """Puts a measure on the scale of the reference: 0.25, 0.5 and 0.75 where a quarter, half and three quarters of it are.

    It is logistic between and beyond, and no higher than at ``full``.

    >>> scale = Scale.of([0.0, 1.0, 2.0, 3.0, 4.0])
    >>> [round(scale(x), 2) for x in (-2, 1, 2, 3, 99)]
    [0.01, 0.25, 0.5, 0.75, 0.85]
    """

    lower: float
    middle: float
    upper: float
    full: float

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> Self:
        """Return the scale of a reference's values."""
        return cls(*(float(q) for q in np.quantile(values, [0.25, 0.5, 0.75, _FULL])))

    def __call__(self, value: float) -> float:
        value = min(value, self.full)
        width = self.middle - self.lower if value < self.middle else self.upper - self.middle
        z = math.log(3) * (value - self.middle) / max(width, 1e-6)
        return 1 / (1 + math.exp(min(-z, 700.0)))


@dataclass(frozen=True)
class BoundedNull:
    """A null model, to which no sequence is stranger than usual ones of the reference are.

    Attributes:
        model: The null model.
        usual: The mean log-probability (nats) that it gives to a token of usual sequences.
    """

    model: NullModel
    usual: float

    @classmethod
    def of(cls, model: NullModel, sequences: Iterable[Sequence[str]]) -> Self:
        """Find what is usual of the reference's sequences, each given as its tokens."""
        found = [model.log_probability(tokens) for tokens in sequences]
        return cls(model, float(np.quantile(found, _FORESEEN[model.modality])))

    def gain(self, tokens: Sequence[str], log_probabilities: np.ndarray) -> float:
        """Return what an encoder foresees of a sequence's tokens beyond the null model: nats a token."""
        return float(log_probabilities.mean()) - max(self.model.log_probability(tokens), self.usual)


Found = tuple[Sequence[str], np.ndarray]  # a sequence's tokens, and the encoder's log p(token | rest) of each, in nats


@dataclass
class ModalityReference:
    """What an encoder finds of the real sequences of a modality.

    With s̄ the mean over a sequence's tokens of −log p(token | rest), its surprise, and n̄ that of the null model, in nats:

    - ``naturalness``: the gain min(n̄, n) − s̄ over the null model, on the reference's `Scale`; n is the median of n̄ in
      the reference, of SMILES its lower quartile, of genes its upper one. So a sequence loses by being more foreseeable than
      most real ones, and gains nothing by being stranger than they are. Where the reference is of coding sequences, it is the
      gain of a codon: of its bases and of the residue, in the protein that is encoded, together.
    - ``environments``, of SMILES: how common the surroundings of its atoms are in the reference, on its scale.
    - ``typicality``: 1 where s̄, the surprise in all and the number of tokens are no less than almost all real sequences have;
      below that the worst of the three, as a share of its floor, to the power of 8, and 0.01 at least.

    The M that proteins start with counts for nothing.

    Attributes:
        null: The null model, and what it makes of usual sequences: −n.
        gain: The scale of the gain.
        floors: Least surprise of a token, surprise in all (nats), and tokens.
        probe: A sequence, the mean log-probability that the encoder has given it, and of SMILES its commonness, else 0: another
            encoder gives another, and so does another release of RDKit that numbers environments otherwise.
        environments, commonness: Those of SMILES, and their scale.
        encoded: The null model of the proteins that coding sequences encode.
    """

    null: BoundedNull
    gain: Scale
    floors: tuple[float, float, float]
    probe: tuple[str, float, float]
    environments: Environments | None = None
    commonness: Scale | None = None
    encoded: BoundedNull | None = None

    def measure(self, sequence: str, found: Found, protein: Found | None = None) -> dict[str, float]:
        """Return the value of each measure, in [0, 1], by name.

        Args:
            sequence: In its normal form.
            found: Its tokens, without special ones, and what the encoder finds of each.
            protein: That of the protein which it encodes; none gains nothing.
        """
        tokens, log_p = _without_start(self.null.model.modality, found)
        gain = _gain(self.null, self.encoded, (tokens, log_p), protein)
        reached = _reached(log_p)
        ratios = [
            max(value, 0.0) / floor if floor > 0 else 1.0 for value, floor in zip(reached, self.floors, strict=True)
        ]
        measured = {NATURALNESS: self.gain(gain), TYPICALITY: max(_LEAST, min(1.0, *ratios) ** _STEEPNESS)}
        if self.environments is not None and self.commonness is not None:
            measured[ENVIRONMENTS] = self.commonness(self.environments.commonness(sequence))
        return measured


class Reference:
    """Real sequences, as an encoder finds them, of one or several modalities.

    Args:
        parts: The reference of each modality.
    """

    def __init__(self, parts: Mapping[Modality, ModalityReference]):
        self.parts = dict(parts)

    @classmethod
    def of(cls, encoder: "Encoder", sequences: Mapping[Modality | str, Sequence[str]], seed: int = 0) -> Self:
        """Let an encoder read real sequences: a random 2,000 SMILES, 300 proteins, 200 coding sequences.

        Sequences that are unreadable, or longer than the encoder's `max_length`, are left out.

        Raises:
            ValueError: Fewer than 20 of a modality are left.
        """
        return cls({Modality(m): _read(encoder, Modality(m), some, seed) for m, some in sequences.items()})

    @classmethod
    def from_files(cls, encoder: "Encoder", files: str | Path | Mapping[Any, str | Path]) -> Self:
        """Let an encoder read files of real sequences, FASTA or SMILES.

        Args:
            encoder: The encoder.
            files: One file, of the modality that most of its sequences look like, or a file for each modality.

        Raises:
            ValueError, FileNotFoundError: A file is not there, or holds fewer than 20 sequences that can be read.
        """
        if not isinstance(files, Mapping):
            files = {_modality_of(read_sequences(files), files): files}
        return cls.of(encoder, {modality: read_sequences(file) for modality, file in files.items()})

    def measure(
        self,
        encoder: "Encoder",
        sequences: Sequence[str],
        modality: Modality,
        log_probabilities: Sequence[np.ndarray],
        **how: Any,
    ) -> list[dict[str, float]]:
        """Return what `ModalityReference.measure` finds of each sequence.

        Args:
            encoder: The one that the reference was made with.
            sequences: In their normal form.
            modality: What they are, all of them.
            log_probabilities: Of each one's tokens, given the rest, (tokens,), in nats.
            how: How the encoder reads the proteins that coding sequences encode: ``batch_size``, ``long_sequences``.
        """
        part = self.parts[modality]
        found = zip(encoder.tokens(sequences, modality), log_probabilities, strict=True)
        proteins = _encoded(encoder, sequences, **how) if part.encoded else [None] * len(sequences)
        return [part.measure(*row) for row in zip(sequences, found, proteins, strict=True)]

    def save(self, file: str | Path) -> None:
        """Write it as JSON."""
        Path(file).write_text(json.dumps({m.value: _to_json(part) for m, part in self.parts.items()}) + "\n")

    @classmethod
    def load(cls, file: str | Path, encoder: "Encoder") -> Self:
        """Read what `save` wrote, for the encoder that it was made with.

        Raises:
            ValueError: The file is damaged, or the encoder finds another likelihood than the one that made it.
        """
        try:
            found = json.loads(Path(file).read_text())
            parts = {Modality(name): _from_json(Modality(name), part) for name, part in found.items()}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{file} is no reference: {type(error).__name__}: {error}; write it anew") from error
        for modality, part in parts.items():
            try:
                now = _probe(encoder, modality, part.probe[0], part.environments)
            except ValueError as error:
                raise ValueError(
                    f"{file} was written with another encoder, this one cannot read it: {error}"
                ) from error
            for name, expected, found in zip(("encoder", "RDKit"), part.probe[1:], now[1:], strict=True):
                if abs(found - expected) > _TOLERANCE:
                    raise ValueError(
                        f"{file} was written with another {name}: {now[0][:20]}… has {found:.3f}, expected {expected:.3f} "
                        "nats; pass reference=FILE, the FASTA or SMILES file of real sequences"
                    )
        return cls(parts)

    def __or__(self, other: "Reference") -> "Reference":
        return Reference(self.parts | other.parts)


def _read(encoder: "Encoder", modality: Modality, sequences: Sequence[str], seed: int) -> ModalityReference:
    order = np.random.default_rng(seed).permutation(len(sequences))[: _COUNTED[modality]]
    normal = [form for i in order if (form := normal_form(sequences[i], modality))]
    least = max(1, round(_RARE * len(normal)))
    chosen = normal[: _READ[modality]]
    found = encoder.token_log_probabilities(chosen, modality, errors="null")
    read = [s for s, log_p in zip(chosen, found, strict=True) if len(log_p)]
    if len(read) < 20:
        raise ValueError(
            f"{len(read)} {modality} sequences of {len(sequences)} can be read: a reference needs 20 at least"
        )
    pairs = zip(encoder.tokens(read, modality), filter(len, found), strict=True)
    own = [_without_start(modality, pair) for pair in pairs]
    model = NullModel.of(encoder.tokens(normal, modality), modality, least)
    null, encoded = BoundedNull.of(model, [tokens for tokens, _ in own]), None
    proteins: Sequence[Found | None] = [None] * len(read)
    if Modality.AMINO_ACID in encoder.modalities and _are_coding(read, modality):
        proteins = _encoded(encoder, read)
        model = NullModel.of(map(translate, normal), Modality.AMINO_ACID, least)
        encoded = BoundedNull.of(model, [tokens for tokens, _ in filter(None, proteins)])
    environments = Environments.of(normal, least) if modality is Modality.SMILES else None
    part = ModalityReference(
        null=null,
        gain=Scale.of([_gain(null, encoded, *row) for row in zip(own, proteins, strict=True)]),
        floors=tuple(_floor(column) for column in np.array([_reached(p) for _, p in own]).T),  # type: ignore[arg-type]
        probe=_probe(encoder, modality, _probe_sequence(encoder, modality, read), environments),
        environments=environments,
        encoded=encoded,
    )
    if environments is not None:
        part.commonness = Scale.of([environments.commonness(s, known=True) for s in read])
    return part


def _probe_sequence(encoder: "Encoder", modality: Modality, read: Sequence[str]) -> str:
    """Return what an encoder is to be known again by: a sequence that it can read."""
    return _PROBES[modality] if encoder.read([_PROBES[modality]], modality, errors="null") != [None] else read[0]


def _probe(
    encoder: "Encoder", modality: Modality, sequence: str, environments: Environments | None
) -> tuple[str, float, float]:
    log_p = float(encoder.token_log_probabilities([sequence], modality)[0].mean())
    return sequence, log_p, environments.commonness(sequence) if environments else 0.0


def _without_start(modality: Modality, found: Found) -> Found:
    """Leave out the M that a protein starts with, unless it is all that there is."""
    tokens, log_p = found
    starts = modality is Modality.AMINO_ACID and len(tokens) > 1 and tokens[0].upper() == "M"
    return (tokens[1:], log_p[1:]) if starts else found


def _are_coding(sequences: Sequence[str], modality: Modality) -> bool:
    """Say whether most sequences are read from a start codon to a stop codon at the end."""
    return modality is Modality.NUCLEOTIDE and 2 * sum(reading_frame(s) == 1 for s in sequences) > len(sequences)


def _encoded(encoder: "Encoder", genes: Sequence[str], **how: Any) -> list[Found | None]:
    """Return what an encoder finds of the protein that each gene encodes; None where that is none, or cannot be read."""
    proteins = [translate(gene) for gene in genes]
    rows = encoder.token_log_probabilities(proteins, Modality.AMINO_ACID, errors="null", **how)
    read = [protein for protein, row in zip(proteins, rows, strict=True) if len(row)]
    tokens = dict(zip(read, encoder.tokens(read, Modality.AMINO_ACID), strict=True))
    return [
        _without_start(Modality.AMINO_ACID, (tokens[protein], row)) if len(row) else None
        for protein, row in zip(proteins, rows, strict=True)
    ]


def _gain(null: BoundedNull, encoded: BoundedNull | None, found: Found, protein: Found | None) -> float:
    """Return what a sequence gains over the null model: nats a token, or a codon, where there is one of the protein."""
    gain = null.gain(*found)
    if encoded is None:
        return gain
    tokens = len(found[0]) / sum(map(len, found[0]))  # of each base; one, unless they are k-mers
    return _CODON * tokens * gain + (encoded.gain(*protein) if protein else 0.0)


def _reached(log_p: np.ndarray) -> tuple[float, float, float]:
    """Return the surprise of a token and in all, and the number of tokens."""
    return -float(log_p.mean()), -float(log_p.sum()), float(len(log_p))


def _floor(values: np.ndarray) -> float:
    lowest, middle = np.quantile(values, [_LOWEST, 0.5])
    margin = _MARGIN / max(1.0, len(values) / _FEW)
    return float(lowest * (lowest / middle) ** margin) if lowest > 0 else 0.0


def _modality_of(sequences: Sequence[str], file: str | Path) -> Modality:
    votes: Counter[Modality] = Counter()
    for sequence in sequences[:200]:
        with suppress(ValueError):
            votes[_detect_modality(sequence)] += 1
    if not votes:
        raise ValueError(f"{file}: none of its first sequences is a SMILES, a protein, or DNA or RNA")
    return votes.most_common(1)[0][0]


def _to_json(part: ModalityReference) -> dict[str, Any]:
    written: dict[str, Any] = {
        "probe": part.probe,
        "gain": asdict(part.gain),
        "floors": part.floors,
        "null": _null_to_json(part.null),
    }
    if part.encoded is not None:
        written["encoded"] = _null_to_json(part.encoded)
    if part.environments is not None and part.commonness is not None:
        written["commonness"] = asdict(part.commonness)
        written["environments"] = {"size": part.environments.size, "counts": part.environments.counts}
    return written


def _from_json(modality: Modality, written: Mapping[str, Any]) -> ModalityReference:
    part = ModalityReference(
        null=_null_from_json(modality, written["null"]),
        gain=Scale(**written["gain"]),
        floors=tuple(written["floors"]),
        probe=tuple(written["probe"]),
    )
    if "encoded" in written:
        part.encoded = _null_from_json(Modality.AMINO_ACID, written["encoded"])
    if "environments" in written:
        counts = {int(environment): count for environment, count in written["environments"]["counts"].items()}
        part.environments = Environments(written["environments"]["size"], counts)
        part.commonness = Scale(**written["commonness"])
    return part


def _null_to_json(null: BoundedNull) -> dict[str, Any]:
    return {"usual": null.usual, "counts": {" ".join(event): count for event, count in null.model.counts.items()}}


def _null_from_json(modality: Modality, written: Mapping[str, Any]) -> BoundedNull:
    counts = {tuple(event.split(" ")): count for event, count in written["counts"].items()}
    return BoundedNull(NullModel(modality, counts), written["usual"])
