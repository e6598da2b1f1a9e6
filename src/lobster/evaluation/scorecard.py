"""What a masked language model knows of molecules: held-out figures with a baseline beside each."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from lobster.constants import Modality
from lobster.evaluation.corruption import (
    corrupt_letters,
    scramble_codons,
    shift_frame,
    shuffle_bonds,
    shuffle_letters,
    swap_tokens,
)
from lobster.evaluation.fooling import fooling_strings
from lobster.evaluation.mutants import TITLES, Method, blosum62_scores, encoder_scores, family_scores, read_scan
from lobster.evaluation.ngram import NGram
from lobster.evaluation.table import Figure
from lobster.model import Encoder
from lobster.model.pseudo_likelihood import Row, masked_logits, scoring_rows, sequence_numbers
from lobster.scoring.families import Profile, find_relatives, read_database
from lobster.sequences import canonical_smiles, read_sequences

# What --help and docs say of the data.
LAYOUT = """The data is a folder:

    smiles/train.txt.gz        smiles/valid.txt.gz
    protein/train.fasta.gz     protein/valid_family.fasta.gz
    nucleotide/train.fasta.gz  nucleotide/valid.fasta.gz        in-frame coding sequences
    eval/dms/index.csv         columns name and wt; beside it NAME.csv with columns mutant (A12C) and score

The train files are counted for the baselines. What is absent is left out."""

FILES = {
    Modality.SMILES: ("smiles/train.txt.gz", "smiles/valid.txt.gz"),
    Modality.AMINO_ACID: ("protein/train.fasta.gz", "protein/valid_family.fasta.gz"),
    Modality.NUCLEOTIDE: ("nucleotide/train.fasta.gz", "nucleotide/valid.fasta.gz"),
}
ASSAYS = "eval/dms/index.csv"

HELD_OUT = "Held-out sequences"
PAIRS = "Real against corrupted: share of pairs won, and AUROC"
ASSAY = "Deep mutational scans: Spearman correlation with the measured effect"
PASSES = "K strided passes against one pass a token: Spearman correlation, and cost as a share of it"
FOOLED = "Strings that fool likelihoods: highest percentile of a family among real sequences"

_BASELINE_TOKENS = 2_000_000
_SHORT, _FEW = 64, 24  # letters, and sequences, where every token costs a pass

Corrupt = Callable[[str, np.random.Generator], str | None]
CORRUPTIONS: dict[Modality, dict[str, Corrupt]] = {
    Modality.SMILES: {
        "4 tokens swapped": swap_tokens,
        "bonds shuffled, same formula": shuffle_bonds,
    },
    Modality.AMINO_ACID: {
        "4 % replaced": lambda s, rng: corrupt_letters(s, Modality.AMINO_ACID, rng, 0.04),
        "shuffled": shuffle_letters,
    },
    Modality.NUCLEOTIDE: {
        "frame shifted": shift_frame,
        "random synonymous codons": scramble_codons,
        "shuffled": shuffle_letters,
    },
}


def scorecard(ume: Encoder, data: Path, tokens: int = 40_000, mutants: int = 50, seed: int = 0) -> Iterator[Figure]:
    """Measure a model, one figure after the other.

    Args:
        ume: The model; any encoder (`load_encoder`).
        data: The folder of the data.
        tokens: How many held-out tokens to measure on, of each modality.
        mutants: Of how many mutants of each protein to work out the pseudo-likelihood (the masked marginals take all).
        seed: Of every random choice.

    Raises:
        FileNotFoundError: The folder holds nothing for the model's modalities.
    """
    present = [m for m in ume.modalities if all((data / file).is_file() for file in FILES[m])]
    if not present:
        raise FileNotFoundError(
            f"{data} holds no data for {', '.join(ume.modalities)}: pass --data FOLDER, with "
            f"{' and '.join(FILES[ume.modalities[0]])} in it (python -m lobster.evaluation ume --help says what else)"
        )
    for modality in present:
        yield from _modality(ume, modality, data, tokens, seed)
    if Modality.AMINO_ACID in ume.modalities and (data / ASSAYS).is_file():
        yield from _assays(ume, data, mutants, seed)


def _modality(ume: Encoder, modality: Modality, data: Path, tokens: int, seed: int) -> Iterator[Figure]:
    rng = np.random.default_rng(seed)
    train, heldout = (read_sequences(data / file) for file in FILES[modality])
    real, ids = _take(ume, modality, heldout, tokens, rng)
    _, train_ids = _take(ume, modality, train, _BASELINE_TOKENS, rng)
    baselines = {name: NGram(_own(ume, train_ids), n) for name, n in (("unigram", 1), ("5-gram", 5))}
    own = _own(ume, ids)

    log_p, hits = _token_figures(ume, modality, ids)
    count = sum(map(len, own))
    baseline_log_p = {name: model.log_probabilities(own) for name, model in baselines.items()}
    perplexity = {name: float(np.exp(-np.concatenate(values).mean())) for name, values in baseline_log_p.items()}
    accuracy = {name: model.accuracy(own) for name, model in baselines.items()}
    yield Figure(HELD_OUT, modality, "pseudo-perplexity", len(real), float(np.exp(-log_p.sum() / count)), perplexity)
    yield Figure(HELD_OUT, modality, "masked-token accuracy", len(real), float(hits.sum() / count), accuracy)

    scores = log_p / [len(row) for row in own]
    baseline = baselines["5-gram"]
    baseline_scores = _means(baseline, own)
    for name, corrupt in CORRUPTIONS[modality].items():
        corrupted = [corrupt(sequence, rng) for sequence in real]
        yield from _pairs(ume, modality, name, corrupted, scores, baseline, baseline_scores)
    yield from _passes(ume, modality, real)
    yield from _fooled(ume, modality, scores, baseline, baseline_scores)


def _take(
    ume: Encoder, modality: Modality, sequences: Sequence[str], tokens: int, rng: np.random.Generator
) -> tuple[list[str], list[list[int]]]:
    """Draw random sequences that the model can read, about so many tokens of them, with their ids."""
    taken: list[str] = []
    ids: list[list[int]] = []
    count, order = 0, rng.permutation(len(sequences))
    for start in range(0, len(order), 200):
        chunk = [sequences[i] for i in order[start : start + 200]]
        for sequence, row in zip(chunk, ume.read(chunk, modality, errors="null"), strict=True):
            if row:
                taken.append(sequence)
                ids.append(row)
                count += len(ume.own(row))
                if count >= tokens:
                    return taken, ids
    return taken, ids


def _readable(ume: Encoder, modality: Modality, sequence: str) -> bool:
    return ume.read([sequence], modality, errors="null") != [None]


def _logits(ume: Encoder, modality: Modality, ids: Sequence[Sequence[int]], rows: Sequence[Row]) -> Iterator[Any]:
    tokenizer = ume.get_tokenizer(modality)
    return masked_logits(
        ume.model, ids, rows, tokenizer.mask_token_id, tokenizer.pad_token_id or 0, 64 * ume.max_length
    )


def _token_figures(ume: Encoder, modality: Modality, ids: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return for each sequence the sum of log p of its tokens, and how many of them are the model's first guess."""
    log_p, hits = np.zeros(len(ids)), np.zeros(len(ids))
    for batch, logits, targets in _logits(
        ume, modality, ids, scoring_rows(ume.model, ids, scored=[ume.own(row) for row in ids])
    ):
        which = sequence_numbers(batch)
        np.add.at(log_p, which, logits.log_softmax(-1).gather(1, targets[:, None])[:, 0].double().cpu().numpy())
        np.add.at(hits, which, (logits.argmax(-1) == targets).cpu().numpy())
    return log_p, hits


def _log_scores(ume: Encoder, modality: Modality, sequences: Sequence[str], method: Any = "strided") -> np.ndarray:
    return np.log(ume.compute_pseudo_likelihood(sequences, modality, batch_size=64, method=method))


def _own_ids(ume: Encoder, modality: Modality, sequences: Sequence[str]) -> list[list[int]]:
    return _own(ume, ume.tokenize(sequences, modality))


def _own(ume: Encoder, ids: Sequence[Sequence[int]]) -> list[list[int]]:
    return [[row[i] for i in ume.own(row)] for row in ids]


def _means(model: NGram, ids: Sequence[Sequence[int]]) -> np.ndarray:
    return np.array([values.mean() for values in model.log_probabilities(ids)])


def _pairs(
    ume: Encoder,
    modality: Modality,
    name: str,
    corrupted: Sequence[str | None],
    scores: np.ndarray,
    baseline: NGram,
    baseline_scores: np.ndarray,
) -> Iterator[Figure]:
    """Compare real sequences with corruptions of themselves; SMILES in canonical form, as the reward does."""
    if modality is Modality.SMILES:
        corrupted = [canonical_smiles(c) if c else None for c in corrupted]
    fits = [i for i, c in enumerate(corrupted) if c and _readable(ume, modality, c)]
    if not fits:
        return
    rivals = [c for i in fits if (c := corrupted[i])]
    ours = scores[fits], _log_scores(ume, modality, rivals)
    theirs = baseline_scores[fits], _means(baseline, _own_ids(ume, modality, rivals))
    yield Figure(PAIRS, modality, f"{name}: pairs", len(fits), _won(*ours), {"5-gram": _won(*theirs)})
    yield Figure(PAIRS, modality, f"{name}: AUROC", len(fits), auroc(*ours), {"5-gram": auroc(*theirs)})


def _won(real: np.ndarray, corrupted: np.ndarray) -> float:
    """Return the share of pairs that the real one wins; a tie counts half."""
    margin = real - corrupted
    return float(np.where(np.abs(margin) < 1e-9, 0.5, margin > 0).mean())


def auroc(positive: Sequence[float] | np.ndarray, negative: Sequence[float] | np.ndarray) -> float:
    """Return the probability that a positive scores higher than a negative; ties count half.

    >>> auroc([3, 2], [1, 2])
    0.875
    """
    ranks = pd.Series(np.concatenate([positive, negative])).rank().to_numpy()[: len(positive)]
    return float((ranks.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative)))


def spearman(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """Return Spearman's rank correlation, ties at their mean rank; 0 where one of the two is constant.

    >>> round(spearman([1, 2, 3], [1, 4, 9]), 6)
    1.0
    """
    ranks = [pd.Series(np.asarray(x)).rank().to_numpy() for x in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1]) if all(np.ptp(r) for r in ranks) else 0.0


def _fooled(
    ume: Encoder, modality: Modality, scores: np.ndarray, baseline: NGram, baseline_scores: np.ndarray
) -> Iterator[Figure]:
    for name, family in fooling_strings(modality).items():
        strings = [c for s in family if (c := canonical_smiles(s))] if modality is Modality.SMILES else family
        strings = [s for s in strings if _readable(ume, modality, s)]
        if strings:
            ours = _highest_percentile(_log_scores(ume, modality, strings), scores)
            theirs = _highest_percentile(_means(baseline, _own_ids(ume, modality, strings)), baseline_scores)
            yield Figure(FOOLED, modality, name, len(strings), ours, {"5-gram": theirs})


def _highest_percentile(strings: np.ndarray, real: np.ndarray) -> float:
    return 100 * float(max((real < string).mean() for string in strings))


def _passes(ume: Encoder, modality: Modality, real: Sequence[str]) -> Iterator[Figure]:
    """Compare K passes a sequence with as many as it has tokens; the baseline is one pass that sees every token."""
    short = [s if modality is Modality.SMILES else s[:_SHORT] for s in real[:_FEW]]
    start = time.perf_counter()
    exact = _log_scores(ume, modality, short, "exact")
    cost = time.perf_counter() - start
    seen = spearman(_unmasked(ume, modality, short), exact)
    for k in (2, 4, 8):
        start = time.perf_counter()
        scores = _log_scores(ume, modality, short, k)
        share = (time.perf_counter() - start) / cost
        yield Figure(PASSES, modality, f"K = {k}: correlation", len(short), spearman(scores, exact), {"unmasked": seen})
        yield Figure(PASSES, modality, f"K = {k}: cost", len(short), share, {"exact": 1.0})


@torch.inference_mode()
def _unmasked(ume: Encoder, modality: Modality, sequences: Sequence[str]) -> np.ndarray:
    """Return the mean log p of tokens that the model can see, which is no pseudo-likelihood."""
    means = []
    for ids in ume.tokenize(sequences, modality):
        row = torch.tensor([ids], device=ume.device)
        own = slice(ume.before, len(ids) - ume.after)
        log_p = ume.model(input_ids=row).logits[0, own].float().log_softmax(-1)
        means.append(float(log_p.gather(1, row[0, own, None]).mean()))
    return np.array(means)


def _assays(ume: Encoder, data: Path, mutants: int, seed: int) -> Iterator[Figure]:
    """Compare with BLOSUM62, and with the family that is found among the proteins to train on."""
    rng = np.random.default_rng(seed)
    database = read_database(data / FILES[Modality.AMINO_ACID][0])
    collected: dict[str, list[list[float]]] = {}
    names = "BLOSUM62", "family"
    for _, assay in pd.read_csv(data / ASSAYS).iterrows():
        scan = read_scan((data / ASSAYS).parent / f"{assay['name']}.csv", assay["wt"])
        family = Profile.from_relatives(scan.wild_type, [s for _, s in find_relatives(scan.wild_type, database)])
        beside = (
            blosum62_scores(scan.wild_type, scan.mutants),
            family_scores(family, scan.wild_type, scan.mutants),
        )
        few = rng.permutation(len(scan.mutants))[:mutants]
        chosen: tuple[tuple[Method, np.ndarray], ...] = (
            ("masked_marginal", np.arange(len(scan.mutants))),
            ("pseudo_likelihood", few),
        )
        for method, at in chosen:
            ours = encoder_scores(ume, scan.wild_type, [scan.mutants[i] for i in at], method)
            value, *baselines = (spearman(s, scan.measured[at]) for s in (ours, *(other[at] for other in beside)))
            title = TITLES[method]
            collected.setdefault(title, []).append([value, *baselines])
            label = f"{assay['name']}, {title}"
            yield Figure(ASSAY, Modality.AMINO_ACID, label, len(at), value, dict(zip(names, baselines, strict=True)))
    for title, rows in collected.items():
        value, *baselines = np.mean(rows, axis=0).tolist()
        label = f"mean, {title}"
        yield Figure(ASSAY, Modality.AMINO_ACID, label, len(rows), value, dict(zip(names, baselines, strict=True)))
