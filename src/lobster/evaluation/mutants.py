"""Mutants of a protein: what an encoder, a family or BLOSUM62 makes of their substitutions, beside what was measured."""

import logging
import math
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
import torch

from lobster.constants import Modality
from lobster.model import Encoder
from lobster.model.pseudo_likelihood import masked_logits, windows
from lobster.scoring.families import RESIDUES, Profile
from lobster.sequences.modality import read_letters

logger = logging.getLogger(__name__)

Method = Literal["masked_marginal", "wild_type_marginal", "pseudo_likelihood"]
TITLES: dict[Method, str] = {
    "masked_marginal": "masked marginal",
    "wild_type_marginal": "wild-type marginal",
    "pseudo_likelihood": "pseudo-likelihood",
}
_SUBSTITUTION = re.compile(f"([{RESIDUES}])([0-9]+)([{RESIDUES}])")


class Substitution(NamedTuple):
    """One residue in the place of another.

    Attributes:
        wild_type: The residue of the protein.
        position: Where, counted from 0.
        mutant: What is there instead.
    """

    wild_type: str
    position: int
    mutant: str


class Scan(NamedTuple):
    """A deep mutational scan.

    Attributes:
        wild_type: The protein.
        mutants: The substitutions of each mutant.
        measured: The effect of each, (mutants,).
    """

    wild_type: str
    mutants: list[list[Substitution]]
    measured: np.ndarray


def read_mutant(text: str, wild_type: str) -> list[Substitution]:
    """Read a mutant such as ``A24G``, or ``A24G:C30D``, of a protein whose first residue is number 1.

    Raises:
        ValueError: It is none of the protein's.

    >>> read_mutant("M1K:T3V", "MKT")
    [Substitution(wild_type='M', position=0, mutant='K'), Substitution(wild_type='T', position=2, mutant='V')]
    >>> read_mutant("K1M", "MKT")
    Traceback (most recent call last):
    ValueError: mutant K1M: residue 1 of the wild type is M; expected K, with the first residue as number 1
    """
    found: list[Substitution] = []
    for part in str(text).split(":"):
        match = _SUBSTITUTION.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"mutant {part!r}: expected a substitution such as A24G, several joined by ':'")
        residue, position, mutant = match[1], int(match[2]) - 1, match[3]
        there = wild_type[position] if 0 <= position < len(wild_type) else "absent"
        if there != residue:
            raise ValueError(
                f"mutant {text}: residue {match[2]} of the wild type is {there}; expected {residue}, with the first "
                "residue as number 1"
            )
        if any(position == one.position for one in found):
            raise ValueError(f"mutant {text}: residue {match[2]} is substituted twice")
        found.append(Substitution(residue, position, mutant))
    return found


def read_scan(file: str | Path, wild_type: str) -> Scan:
    """Read a CSV file with the columns ``mutant`` and ``score``; mutants without a score are left out, with a warning.

    Raises:
        ValueError: A column is not there, a mutant is none of the wild type's or a score no number, and the message has the line's
            number; or no mutant has a score.
        FileNotFoundError: There is no such file.
    """
    letters = read_letters(wild_type, Modality.AMINO_ACID)
    try:
        table = pd.read_csv(file, dtype=str)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{file} is no CSV with the columns mutant and score: {error}") from error
    if missing := {"mutant", "score"} - set(table):
        raise ValueError(f"{file} has no column {min(missing)}: expected mutant and score")
    mutants, measured = [], []
    for line, (text, score) in enumerate(zip(table["mutant"], table["score"], strict=True), 2):
        try:
            mutant, value = read_mutant(text, letters), float(score)
        except ValueError as error:
            raise ValueError(f"{file}, line {line}: {error}") from error
        if math.isfinite(value):
            mutants.append(mutant)
            measured.append(value)
    if not measured:
        raise ValueError(f"{file} has no mutant with a score")
    if left := len(table) - len(measured):
        logger.warning("%s: %d of %d mutants have no score, and are left out", file, left, len(table))
    return Scan(letters, mutants, np.array(measured))


def encoder_scores(
    encoder: Encoder, wild_type: str, mutants: Sequence[Sequence[Substitution]], method: Method = "masked_marginal"
) -> np.ndarray:
    """Return what an encoder makes of mutants beside their wild type, (mutants,), in nats; higher is fitter.

    Args:
        encoder: The encoder. A protein longer than it reads is read in windows.
        wild_type: The protein.
        mutants: The substitutions of each mutant.
        method: ``"masked_marginal"``: log p(mutant) − log p(wild type) where the position is masked, summed over a mutant's
            substitutions, a pass for each position; ``"wild_type_marginal"``: the same with nothing masked, one pass in all;
            ``"pseudo_likelihood"``: the sums of log p(residue | rest) of the mutant less that of the wild type, four passes or
            so for each mutant.

    Raises:
        ValueError: The method is unknown, or the encoder does not read a residue as one token.

    Source: Meier et al., "Language models enable zero-shot prediction of the effects of mutations", NeurIPS 2021.
    """
    if method not in get_args(Method):
        raise ValueError(f"method is {method!r}: expected one of {', '.join(get_args(Method))}")
    if method == "pseudo_likelihood":
        sequences = [wild_type, *(mutated(wild_type, mutant) for mutant in mutants)]
        found = encoder.token_log_probabilities(sequences, Modality.AMINO_ACID, 64, long_sequences="windows")
        sums = np.array([row.sum() for row in found])
        return sums[1:] - sums[0]
    positions = sorted({s.position for mutant in mutants for s in mutant})
    return summed(encoder_substitutions(encoder, wild_type, method == "masked_marginal", positions), mutants)


def family_scores(profile: Profile, wild_type: str, mutants: Sequence[Sequence[Substitution]]) -> np.ndarray:
    """Return what a family makes of mutants, the sum of their `Profile.substitutions`, (mutants,), in nats."""
    return summed(profile.substitutions(wild_type), mutants)


def blosum62_scores(wild_type: str, mutants: Sequence[Sequence[Substitution]]) -> np.ndarray:
    """Return the sum of BLOSUM62 over the substitutions of each mutant, (mutants,), in nats."""
    return family_scores(Profile.from_relatives(wild_type, []), wild_type, mutants)


def summed(substitutions: np.ndarray, mutants: Sequence[Sequence[Substitution]]) -> np.ndarray:
    """Return the sum over each mutant of a table of substitutions, (residues, 20) in the order of `RESIDUES`."""
    return np.array([sum(substitutions[s.position, RESIDUES.index(s.mutant)] for s in mutant) for mutant in mutants])


def mutated(wild_type: str, mutant: Sequence[Substitution]) -> str:
    """Return a mutant's sequence.

    >>> mutated("MKT", read_mutant("M1K:T3V", "MKT"))
    'KKV'
    """
    letters = list(wild_type)
    for substitution in mutant:
        letters[substitution.position] = substitution.mutant
    return "".join(letters)


def encoder_substitutions(
    encoder: Encoder, wild_type: str, masked: bool = True, positions: Sequence[int] | None = None
) -> np.ndarray:
    """Return log p(residue) − log p(wild type) of every substitution, (residues, 20) in the order of `RESIDUES`, in nats.

    Args:
        encoder: The encoder.
        wild_type: The protein.
        masked: Whether the position is masked, a pass for each; else one pass reads the wild type as it is.
        positions: Where, counted from 0; NaN elsewhere. By default everywhere.

    Raises:
        ValueError: The encoder does not read a residue as one token.
    """
    log_p = _log_probabilities(encoder, wild_type, masked, range(len(wild_type)) if positions is None else positions)
    own = np.array([RESIDUES.find(letter) for letter in wild_type])
    found = log_p - log_p[np.arange(len(own)), own][:, None]
    found[own < 0] = np.nan
    return found


def _log_probabilities(encoder: Encoder, wild_type: str, masked: bool, positions: Sequence[int]) -> np.ndarray:
    """Return log p of each of `RESIDUES` at some positions of a protein, (residues, 20); NaN at the others."""
    [row] = encoder.tokenize([wild_type], Modality.AMINO_ACID)
    own = encoder.own(row)
    if len(own) != len(wild_type):
        raise ValueError(f"the encoder reads {len(wild_type)} residues as {len(own)} tokens: expected one a residue")
    letters = [ids[encoder.before] for ids in encoder.tokenize(list(RESIDUES), Modality.AMINO_ACID)]
    found = np.full((len(wild_type), len(letters)), np.nan)
    for window, scored in windows(len(own), encoder.max_length - encoder.before - encoder.after):
        part = row[own.start + window.start : own.start + window.stop]
        ids = [*row[: own.start], *part, *row[own.stop :]]
        if not (at := [own.start + i - window.start for i in positions if i in scored]):
            continue
        logits = _masked_logits(encoder, ids, at) if masked else _logits(encoder, ids)
        for position in at:
            log_p = logits[position].log_softmax(-1)[letters].double().cpu().numpy()
            found[position - own.start + window.start] = log_p
    return found


def _masked_logits(encoder: Encoder, ids: list[int], positions: Sequence[int]) -> dict[int, torch.Tensor]:
    """Return the logits at some positions, each masked in a pass of its own."""
    tokenizer = encoder.get_tokenizer(Modality.AMINO_ACID)
    special = tokenizer.mask_token_id, tokenizer.pad_token_id or 0
    passes = [(0, np.array([position])) for position in positions]
    found = masked_logits(encoder.model, [ids], passes, *special, 64 * encoder.max_length)
    return {int(at[0]): row for batch, logits, _ in found for (_, at), row in zip(batch, logits, strict=True)}


@torch.inference_mode()
def _logits(encoder: Encoder, ids: list[int]) -> dict[int, torch.Tensor]:
    """Return the logits at every position, nothing masked."""
    return dict(enumerate(encoder.model(input_ids=torch.tensor([ids], device=encoder.device)).logits[0].float()))


def heat_map(substitutions: np.ndarray, wild_type: str, file: str | Path, title: str = "", width: int = 100) -> None:
    """Draw a table of substitutions as a PNG: residues of the protein from left to right, substitutions from top to bottom.

    Args:
        substitutions: (residues, 20) in the order of `RESIDUES`, in nats; blue is worse than the wild type, red is better.
        wild_type: The protein.
        file: Where to.
        title: Above it.
        width: Residues in a row.

    Raises:
        ImportError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise ImportError("a heat map is drawn with matplotlib: pip install 'lobster-rl[demo]'", name="matplotlib")
    from matplotlib.figure import Figure

    most = float(np.nanquantile(np.abs(substitutions), 0.98)) or 1.0
    starts = range(0, len(wild_type), width)
    figure = Figure(figsize=(min(width, len(wild_type)) * 0.16 + 1.5, 3.6 * len(starts) + 0.4), layout="constrained")
    figure.suptitle(title)
    for start, [axes] in zip(starts, figure.subplots(len(starts), squeeze=False), strict=True):
        part, letters = substitutions[start : start + width].T, wild_type[start : start + width]
        image = axes.imshow(part, cmap="coolwarm", vmin=-most, vmax=most, aspect="auto")
        own = np.array([(i, RESIDUES.find(letter)) for i, letter in enumerate(letters)])
        axes.scatter(*own[own[:, 1] >= 0].T, s=4, color="black")
        axes.set_yticks(range(len(RESIDUES)), RESIDUES, fontsize=6)
        marked = range(-(start + 1) % 10, len(letters), 10)
        axes.set_xticks(list(marked), [f"{letters[i]}\n{start + i + 1}" for i in marked], fontsize=6)
        axes.set_xlim(-0.5, min(width, len(wild_type)) - 0.5)
        figure.colorbar(image, ax=axes, label="nats", shrink=0.8, pad=0.01)
    figure.savefig(file, dpi=150)
