"""Protein families: the relatives of a protein, their profile hidden Markov model, and how well a sequence fits it."""

import gzip
import io
import zlib
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from pyhmmer.easel import Alphabet, DigitalMSA, DigitalSequenceBlock, MSAFile, Randomness, SequenceFile, TextSequence
from pyhmmer.hmmer import hmmalign
from pyhmmer.plan7 import HMM, Background, Builder, Domain, HMMFile, Pipeline

from lobster.constants import Modality
from lobster.scoring.molecules import file_versions
from lobster.scoring.reference import Scale
from lobster.sequences.files import SequenceFileError
from lobster.sequences.modality import read_letters

_ALPHABET = Alphabet.amino()
_BACKGROUND = Background(_ALPHABET)
RESIDUES: str = _ALPHABET.symbols[:20]  # in the order of every array of this module
FREQUENCIES = np.array(_BACKGROUND.residue_frequencies, dtype=float)  # of the residues in Swiss-Prot, (20,)
_GAP = len(RESIDUES)

_EVALUE = 1e-3  # at most, of what is taken for a relative: jackhmmer's
_SETTLED = 5  # iterations after which the alignment of given relatives is taken as it is: jackhmmer's
_ALIKE = 0.8  # identity from which on two relatives count as one
_PSEUDOCOUNTS = 5.0  # for each different residue of a position: Henikoff's m
_HALF_BIT = np.log(2) / 2  # unit of BLOSUM62, in nats
_COVERED = 0.5  # of a profile's positions that a relative has, to be a member of the whole family
_LACKING = 0.25  # of the members may have fewer positions than what a sequence needs
_STEEPNESS = 8  # power of how far below that it is, as of a `typicality`
_WRITTEN = 100  # sequences that a profile writes to know how much its members differ


class Relative(NamedTuple):
    """A relative of a protein: its name with the residues that match, such as ``P12345/7-110``, and their letters."""

    name: str
    sequence: str


def read_database(file: str | Path) -> DigitalSequenceBlock:
    """Read a FASTA file of proteins, plain or gzipped, to be searched.

    Raises:
        SequenceFileError: It holds no proteins in FASTA.
        FileNotFoundError: There is no such file.
    """
    opener: Any = gzip.open if str(file).endswith(".gz") else open
    try:
        with (
            opener(file, "rb") as source,
            io.BytesIO(source.read()) as stream,  # of a damaged one pyhmmer would read for minutes
            SequenceFile(stream, "fasta", digital=True, alphabet=_ALPHABET) as records,
        ):
            found = records.read_block()
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SequenceFileError(f"{file} is no FASTA file of proteins, plain or gzipped: {error}") from error
    if not len(found):
        raise SequenceFileError(f"{file} holds no sequences: expected proteins in FASTA")
    return found


def find_relatives(
    query: str,
    database: str | Path | DigitalSequenceBlock,
    iterations: int = 2,
    evalue: float = _EVALUE,
) -> list[Relative]:
    """Return the relatives of a protein in a database, by an iterated search with profiles.

    A search of 150,000 proteins takes a second of one core for each iteration. More iterations find relatives further away,
    and at last what are none.

    Args:
        query: The protein.
        database: FASTA file, plain or gzipped; or what `read_database` made of one, to search it for several.
        iterations: Most searches, each with the profile of what the one before it has found.
        evalue: Largest E-value of a relative.

    Returns:
        The part of each relative that matches the query, the best first; a repeat comes as often as it matches. A copy of the
        query in the database is its own relative.

    Raises:
        ValueError: The query is no protein, or there is no iteration.
        SequenceFileError, FileNotFoundError: The database cannot be read.

    Source: Johnson, Eddy and Portugaly, "Hidden Markov model speed heuristic and iterative HMM search procedure" (jackhmmer),
    BMC Bioinformatics 11, 2010.
    """
    if iterations < 1:
        raise ValueError(f"iterations is {iterations}: expected at least 1")
    block = database if isinstance(database, DigitalSequenceBlock) else read_database(database)
    found = _search(read_letters(query, Modality.AMINO_ACID), block, iterations, evalue)
    rows = zip(found.names, map(_letters, found.textize().alignment), strict=True)
    return [Relative(*row) for row in list(rows)[1:]]


class Profile:
    """A profile hidden Markov model of a family, whose positions are the residues of its query.

    The emissions of a position are (n f + b g) / (n + b), where f are the frequencies of its residues, g those that BLOSUM62
    expects from f, b is 5 for each different residue that it has, and n the number of sequences beside one: with no
    relatives, the matrix is what is left. Sequences that are 80 % identical count as one. The transitions are HMMER's.

    Source: Henikoff and Henikoff, "Using substitution probabilities to improve position-specific scoring matrices", CABIOS 12,
    1996, whose n is all sequences, while PSI-BLAST's leaves one out (Altschul et al., Nucleic Acids Res. 25, 1997); weights
    as in Hopf et al., "Mutation effects predicted from sequence co-variation", Nat. Biotechnol. 35, 2017; Eddy,
    "Accelerated Profile HMM Searches", PLoS Comput. Biol. 7, 2011.

    Attributes:
        query: Its letters; of an HMM from elsewhere those of the consensus.
        hmm: The model, `pyhmmer.plan7.HMM`.
        emissions: Probability of each of `RESIDUES` at each position, (positions, 20).
        members: Relatives with at least half of the positions.
        relatives: How many relatives it was made of, the query not among them.
        effective: How many they are with like ones counted as one, the query among them.
        trust: The share n / (n + b) of the relatives in the emissions of each position, (positions,).

    >>> profile = Profile.from_relatives("MKTVRQERLKSIVRILERSKEPVSGAQ", [])
    >>> profile.emissions.shape, profile.relatives
    ((27, 20), 0)
    >>> whole, half, twice = profile.bits([profile.query, profile.query[:13], profile.query[:13] * 2]).tolist()
    >>> whole > half, whole > twice
    (True, True)
    """

    def __init__(
        self, query: str, hmm: HMM, members: Sequence[str], relatives: int, effective: float, trust: np.ndarray
    ):
        self.query, self.hmm, self.members = query, hmm, list(members)
        self.relatives, self.effective, self.trust = relatives, effective, trust
        self.emissions = np.array(hmm.match_emissions, dtype=float)[1:]

    @classmethod
    def from_relatives(cls, query: str, relatives: Sequence[str]) -> Self:
        """Align relatives to a query, and make their profile.

        There is no aligner on board: the relatives are searched with the query, then with the profile of what matched, until
        no more do. What never does (`find_relatives`) is left out.

        Raises:
            ValueError: The query or a relative is no protein.
        """
        query = read_letters(query, Modality.AMINO_ACID)
        block = _digital([read_letters(relative, Modality.AMINO_ACID) for relative in relatives])
        return cls._of(query, _search(query, block, _SETTLED))

    @classmethod
    def from_file(
        cls,
        alignment: str | Path | None = None,
        hmm: str | Path | None = None,
        relatives: str | Path | None = None,
    ) -> Self:
        """Read a family.

        Args:
            alignment: Aligned sequences, the query first: aligned FASTA, A2M, Stockholm, Clustal, PSI-BLAST.
            hmm: A profile of HMMER's, such as one of Pfam's.
            relatives: FASTA of sequences that are not aligned, the query first, plain or gzipped.

        Raises:
            ValueError: There is not one file; or what it holds is something else.
            FileNotFoundError: There is no such file.
        """
        named = {"alignment": alignment, "hmm": hmm, "relatives": relatives}
        if len(given := {name: file for name, file in named.items() if file}) != 1:
            raise ValueError(f"{' and '.join(given) or 'no file'} is given: expected one of {', '.join(named)}")
        if relatives:
            query, *others = (s.textize().sequence for s in read_database(relatives))
            return cls.from_relatives(query, others)
        return cls._of_alignment(_read_alignment(str(alignment))) if alignment else cls._of_hmm(_read_hmm(str(hmm)))

    @classmethod
    def _of_alignment(cls, rows: Sequence[str]) -> Self:
        return cls._of(_letters(rows[0]), _alignment(rows))

    @classmethod
    def _of(cls, query: str, alignment: DigitalMSA) -> Self:
        columns = _columns(alignment)
        weights = 1 / alike(columns).sum(1)
        hmm, _, _ = Builder(_ALPHABET, architecture="hand").build_msa(alignment, _BACKGROUND)
        probabilities, trust = _emissions(columns, weights)
        emissions: Any = hmm.match_emissions
        for position, row in enumerate(probabilities, 1):
            for residue, probability in enumerate(row):
                emissions[position, residue] = probability
        hmm.set_composition()
        whole = np.flatnonzero((columns != _GAP).mean(1) >= _COVERED)
        rows = tuple(alignment.textize().alignment)
        return cls(query, hmm, [_letters(rows[i]) for i in whole], len(columns) - 1, float(weights.sum()), trust)

    @classmethod
    def _of_hmm(cls, hmm: HMM) -> Self:
        consensus = (hmm.consensus or "X" * hmm.M).upper()
        return cls(consensus, hmm, [], hmm.nseq or 0, hmm.nseq_effective or 0.0, np.ones(hmm.M))

    @cached_property
    def log_odds(self) -> np.ndarray:
        """log of the emissions over the background's `FREQUENCIES`, (positions, 20), in nats."""
        return np.log(self.emissions / FREQUENCIES)

    def columns(self, sequences: Sequence[str]) -> list[np.ndarray]:
        """Align sequences to the profile; return for each of their residues its position, −1 where it has none."""
        if not sequences:
            return []
        aligned = hmmalign(self.hmm, _digital(sequences), cpus=1, all_consensus_cols=True)
        match = np.array([letter == "x" for letter in aligned.reference])
        position = np.where(match, match.cumsum() - 1, -1)
        return [position[[letter.isalpha() for letter in row]] for row in aligned.alignment]

    def aligned(self, sequences: Sequence[str]) -> np.ndarray:
        """Return the residue of each sequence at each position, by its number among `RESIDUES`; 20 where it has none."""
        found = np.full((len(sequences), self.hmm.M), _GAP, dtype=np.int8)
        for row, sequence, at in zip(found, sequences, self.columns(sequences), strict=True):
            own = np.array([RESIDUES.find(letter) % (_GAP + 1) for letter in sequence])
            row[at[at >= 0]] = own[at >= 0]
        return found

    def substitutions(self, wild_type: str) -> np.ndarray:
        """Return what each residue of a protein of the family may be replaced by, (residues, 20), in nats; 0 is as good.

        With log-odds s of the profile, they are t (s(mutant) − s(wild type)) + (1 − t) B(wild type, mutant), where B is BLOSUM62 and
        t the profile's `trust`: BLOSUM62 where there are no relatives, or no position of the profile.
        """
        letters = read_letters(wild_type, Modality.AMINO_ACID)
        [at] = [np.arange(len(letters))] if letters == self.query else self.columns([letters])
        own = np.array([RESIDUES.find(letter) for letter in letters])
        log_odds = self.log_odds[at]
        ratio = log_odds - np.take_along_axis(log_odds, own[:, None], axis=1)
        trust = np.where(at >= 0, self.trust[at], 0.0)[:, None]
        found = trust * ratio + (1 - trust) * _blosum62()[own]
        found[np.arange(len(own)), own] = 0.0
        return np.where(own[:, None] >= 0, found, 0.0)

    def log_probabilities(self, sequences: Sequence[str]) -> list[np.ndarray]:
        """Return the log-probability of each residue, (residues,), in nats; the background's where it has no position."""
        found = []
        for sequence, at in zip(sequences, self.columns(sequences), strict=True):
            own = np.array([RESIDUES.find(letter) for letter in sequence])
            probabilities = np.where(at >= 0, self.emissions[at, own], FREQUENCIES[own])
            found.append(np.log(np.where(own >= 0, probabilities, 1.0)))
        return found

    def bits(self, sequences: Sequence[str]) -> np.ndarray:
        """Return how well each sequence fits, in bits for each position of the profile, (sequences,).

        It is HMMER's score of the matching parts, corrected for composition (null2), divided by the positions of the profile
        or by the residues of the sequence, whichever are more. So a fragment lacks what it leaves out, and what is added
        earns nothing. Parts count together where they follow one another in the profile as in the sequence; a position
        counts once, so that a repeat is worth what it repeats.
        """
        return self._fits(sequences)[0]

    def score(self, sequences: Sequence[str]) -> np.ndarray:
        """Return how well each sequence fits beside the family's own members, in [0, 1], (sequences,).

        It is the place of its `bits` on the `Scale` of the members, who have 0.5 in the median, times the power of 8 of the
        positions that it has as a share of what three quarters of them have: a fragment is no member. What is less than
        0.25 times the bits, as a share of those of the member at the lower quartile, is that.
        """
        scale, floor = self._members_fit
        bits, covered = self._fits(sequences)
        whole = np.minimum(1, covered / floor) ** _STEEPNESS
        return np.maximum(0.25 * np.clip(bits / scale.lower, 0, 1), whole * [scale(value) for value in bits])

    @property
    def covered(self) -> float:
        """The share of the positions that three quarters of the members have."""
        return self._members_fit[1]

    def _fits(self, sequences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the `bits` of each sequence, and the share of the positions that it has."""
        limits = {"F1": 1.0, "F2": 1.0, "F3": 1.0, "T": -1e6, "domT": -1e6}  # nothing is filtered
        pipeline = Pipeline(_ALPHABET, _BACKGROUND, bias_filter=False, Z=1, domZ=1, **limits)
        bits, covered = np.zeros(len(sequences)), np.zeros(len(sequences))
        for hit in pipeline.search_hmm(self._optimized, _digital(sequences)):
            number = int(hit.name)
            parts = _in_order(list(hit.domains))
            bits[number] = sum(part.score for part in parts) / max(self.hmm.M, len(sequences[number]))
            positions = sum(part.alignment.hmm_to - part.alignment.hmm_from + 1 for part in parts)
            covered[number] = positions / self.hmm.M
        return bits, covered

    @cached_property
    def _members_fit(self) -> tuple[Scale, float]:
        """The scale of the members' bits, and the share of the positions that three quarters of them have.

        Members that are few or all alike say little of what else would be one: the scale is no narrower than that of sequences
        that the profile writes, and an HMM from elsewhere has these alone.
        """
        random = Randomness(1, fast=True)
        written = [_ALPHABET.decode(self.hmm.emit_sequence(random).sequence) for _ in range(_WRITTEN)]
        bits, covered = self._fits(written)
        scale = Scale.of(bits)
        if self.members:
            below, above = scale.middle - scale.lower, scale.upper - scale.middle
            bits, covered = self._fits(self.members)
            own = Scale.of(bits)
            lower, upper = min(own.lower, own.middle - below), max(own.upper, own.middle + above)
            scale = Scale(max(lower, own.middle / 2), own.middle, upper, own.full)
        return scale, float(np.quantile(covered, _LACKING))

    @cached_property
    def _optimized(self) -> Any:
        return self.hmm.to_profile(_BACKGROUND).to_optimized()


def family(sequence: str, alignment: str | None = None, hmm: str | None = None, relatives: str | None = None) -> float:
    """How well a protein fits a family, beside the family's own members (`Profile.score`).

    The family is a file of one of three kinds (`Profile.from_file`), which is read anew when it has changed.
    """
    files = alignment, hmm, relatives
    return float(read_family(*files, file_versions(tuple(filter(None, files)))).score([sequence])[0])


@lru_cache(maxsize=16)
def read_family(alignment: str | None, hmm: str | None, relatives: str | None, versions: Any) -> Profile:
    """Read a family once for each version of its file."""
    return Profile.from_file(alignment, hmm, relatives)


def _search(query: str, block: DigitalSequenceBlock, iterations: int, evalue: float = _EVALUE) -> DigitalMSA:
    """Search for a query; return the query and what was found, aligned, a column of reference for each of its residues."""
    if not len(block):
        return _alignment([query])
    sequence = TextSequence(name="query", sequence=query).digitize(_ALPHABET)
    builder = Builder(_ALPHABET, architecture="hand")
    search = Pipeline(_ALPHABET, incE=evalue, incdomE=evalue).iterate_seq(sequence, block, builder)
    for number, result in enumerate(search, 1):
        if result.converged or number == iterations:
            break
    return result.msa


def _digital(sequences: Sequence[str]) -> DigitalSequenceBlock:
    """Return sequences as HMMER takes them, named by their numbers."""
    named = (TextSequence(name=str(i), sequence=sequence) for i, sequence in enumerate(sequences))
    return DigitalSequenceBlock(_ALPHABET, [text.digitize(_ALPHABET) for text in named])


def _alignment(rows: Sequence[str]) -> DigitalMSA:
    """Return aligned sequences as HMMER takes them, a column of reference for each residue of the first.

    As a file: to set `DigitalMSA.reference` corrupts memory (pyhmmer 0.12.3).
    """
    reference = "".join("x" if letter.isalpha() else "." for letter in rows[0])
    lines = ["# STOCKHOLM 1.0", "#=GF ID family", *(f"{i} {row}" for i, row in enumerate(rows)), f"#=GC RF {reference}"]
    text = "\n".join([*lines, "//", ""])
    with MSAFile(io.BytesIO(text.encode()), "stockholm", digital=True, alphabet=_ALPHABET) as file:
        return file.read()


def _letters(row: str) -> str:
    return "".join(filter(str.isalpha, row)).upper()


def _columns(alignment: DigitalMSA) -> np.ndarray:
    """Return the residue of each sequence at each position of the query, by its number among `RESIDUES`; 20 for none."""
    keep = [i for i, mark in enumerate(alignment.reference) if mark.isalpha()]
    rows = tuple(alignment.textize().alignment)
    return np.array([[RESIDUES.find(row[i].upper()) % (_GAP + 1) for i in keep] for row in rows], dtype=np.int8)


def alike(aligned: np.ndarray) -> np.ndarray:
    """Say which sequences count as one with each: 80 % identical, over half of its positions at least.

    Args:
        aligned: `Profile.aligned`, (sequences, positions).

    Returns:
        (sequences, sequences); a sequence is alike to itself.
    """
    there = aligned != _GAP
    found = np.eye(len(aligned), dtype=bool)
    for i, row in enumerate(aligned):
        both = (there & there[i]).sum(1)
        same = ((aligned == row) & there[i]).sum(1)
        found[i] |= (same >= _ALIKE * both) & (both >= there[i].sum() / 2) & (both > 0)
    return found


@lru_cache(maxsize=1)
def _substitutions() -> np.ndarray:
    """Return p(residue | residue in a relative) of BLOSUM62, (20, 20), as HMMER has it."""
    every = TextSequence(name="residues", sequence=RESIDUES).digitize(_ALPHABET)
    hmm, _, _ = Builder(_ALPHABET, popen=0.0, pextend=0.0).build(every, _BACKGROUND)
    return np.array(hmm.match_emissions, dtype=float)[1:]


@lru_cache(maxsize=1)
def _blosum62() -> np.ndarray:
    """Return BLOSUM62 in nats, (20, 20)."""
    from Bio.Align import substitution_matrices

    matrix = substitution_matrices.load("BLOSUM62")
    return _HALF_BIT * np.array([[matrix[one][other] for other in RESIDUES] for one in RESIDUES])


def _emissions(columns: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each residue at each position, (positions, 20), and the relatives' share; see `Profile`."""
    counts = np.stack([((columns == residue) * weights[:, None]).sum(0) for residue in range(_GAP)], axis=1)
    number = counts.sum(1, keepdims=True)
    frequencies = np.where(number > 0, counts / np.maximum(number, 1e-9), FREQUENCIES)
    pseudocounts = _PSEUDOCOUNTS * np.maximum((counts > 0).sum(1, keepdims=True), 1)
    trust = np.maximum(number - 1, 0) / (np.maximum(number - 1, 0) + pseudocounts)
    found = trust * frequencies + (1 - trust) * frequencies @ _substitutions()
    return found / found.sum(1, keepdims=True), trust[:, 0]


def _in_order(domains: list[Domain]) -> list[Domain]:
    """Return the best matching parts that follow one another in the profile as in the sequence."""
    taken: list[Any] = []
    for domain in sorted(domains, key=lambda domain: -domain.score):
        new, others = domain.alignment, [other.alignment for other in taken]
        before = (a.hmm_to < new.hmm_from and a.target_to < new.target_from for a in others)
        after = (new.hmm_to < a.hmm_from and new.target_to < a.target_from for a in others)
        if domain.score > 0 and all(map(max, before, after)):
            taken.append(domain)
    return taken


def _read_alignment(file: str) -> tuple[str, ...]:
    try:
        with MSAFile(file, digital=True, alphabet=_ALPHABET) as alignments:
            found = alignments.read()
    except (ValueError, EOFError) as error:
        raise SequenceFileError(f"{file} is no alignment of proteins, in FASTA, A2M or Stockholm: {error}") from error
    if found is None:
        raise SequenceFileError(f"{file} holds no alignment: expected FASTA, A2M or Stockholm")
    return tuple(found.textize().alignment)


def _read_hmm(file: str) -> HMM:
    if not Path(file).is_file():
        raise FileNotFoundError(f"there is no file {file}: expected a profile of HMMER's")
    try:
        with HMMFile(file) as hmms:
            found = list(hmms)
    except (ValueError, EOFError) as error:
        raise SequenceFileError(f"{file} is no profile of HMMER's: {error}") from error
    if len(found) != 1 or found[0].alphabet != _ALPHABET:
        raise SequenceFileError(f"{file} holds {len(found)} profiles: expected one, of proteins")
    return found[0]
