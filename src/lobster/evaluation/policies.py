"""What a policy writes, beside the sequences that it learned from."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lobster.constants import Modality
from lobster.evaluation.corruption import LETTERS
from lobster.evaluation.metrics import frequency_difference, smiles_metrics
from lobster.evaluation.ngram import NGram
from lobster.evaluation.sampling import sample
from lobster.evaluation.table import Figure
from lobster.scoring.biopolymers import open_reading_frame
from lobster.sequences import normal_form

HELD_OUT = "Held-out sequences"
SAMPLES = "Samples, beside the training data"

_TRAIN = 20_000  # sequences of training that are counted


def is_protein(sequence: str) -> bool:
    """Say whether a sequence is of the 20 amino acids alone, from its first methionine on.

    >>> is_protein("MKT"), is_protein("KMT"), is_protein("MKX")
    (True, False, False)
    """
    return sequence.startswith("M") and set(sequence) <= set(LETTERS[Modality.AMINO_ACID])


_SMILES_ROWS = {
    "validity": "validity",
    "uniqueness": "uniqueness of the valid ones",
    "internal_diversity": "internal diversity",
    "scaffold_diversity": "scaffold diversity",
    "qed": "mean QED",
}
_MEASURES: dict[Modality, tuple[str, Callable[[str], float]]] = {
    Modality.AMINO_ACID: ("from M on, of the 20 amino acids", is_protein),
    Modality.NUCLEOTIDE: ("in frame from ATG to the only stop", open_reading_frame),
}


def policy_scorecard(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    modality: Modality,
    train: Sequence[str],
    heldout: Sequence[str],
    count: int = 1000,
    seed: int = 0,
) -> Iterator[Figure]:
    """Measure a causal model on held-out sequences and on samples, one figure after the other.

    Args:
        model: The policy.
        tokenizer: Its tokenizer.
        modality: What it writes.
        train: What it learned from; sequences that it cannot write are left out.
        heldout: Sequences that it did not see; likewise.
        count: How many samples to draw.
        seed: Of the samples.

    Raises:
        ValueError: The policy can write none of the training or held-out sequences.
    """
    rng = np.random.default_rng(seed)
    known, known_ids = _writable(model, tokenizer, [train[i] for i in rng.permutation(len(train))[:_TRAIN]])
    _, heldout_ids = _writable(model, tokenizer, heldout[:2000])
    for name, rows in (("training", known_ids), ("held-out", heldout_ids)):
        if not rows:
            raise ValueError(f"the policy can write none of the {name} sequences: are they {modality}?")
    log_p = np.concatenate([_log_probabilities(model, row) for row in heldout_ids])
    baselines = {name: NGram([row[1:] for row in known_ids], n) for name, n in (("unigram", 1), ("5-gram", 5))}
    perplexity = {
        name: float(np.exp(-np.concatenate(baseline.log_probabilities([row[1:] for row in heldout_ids])).mean()))
        for name, baseline in baselines.items()
    }
    yield Figure(
        HELD_OUT, modality, "perplexity of a token", len(heldout_ids), float(np.exp(-log_p.mean())), perplexity
    )

    limit = model.config.max_position_embeddings - 1  # all positions but the one of <bos>
    samples = sample(model, tokenizer, count, max_new_tokens=limit, seed=seed)
    lengths = [len(ids) for ids in tokenizer(samples, add_special_tokens=False).input_ids]
    ended = [s for s, length in zip(samples, lengths, strict=True) if length < limit]

    def figure(name: str, measure: Callable[[Sequence[str]], float], data: bool = True) -> Figure:
        beside = {"training data": measure(known)} if data else {}
        return Figure(SAMPLES, modality, name, count, measure(samples), beside)

    yield Figure(SAMPLES, modality, "ended by themselves", count, len(ended) / count)
    if modality is Modality.SMILES:
        ours, theirs = smiles_metrics(samples), smiles_metrics(known[:count])  # as many: diversity depends on it
        for name, title in _SMILES_ROWS.items():
            yield Figure(SAMPLES, modality, title, count, getattr(ours, name), {"training data": getattr(theirs, name)})
    else:
        name, measure = _MEASURES[modality]
        yield figure(name, lambda s: float(np.mean([measure(x) for x in s])))
        yield figure("uniqueness", lambda s: len(set(s)) / len(s), data=False)
        yield figure(
            "largest relative difference of a letter's frequency", lambda s: frequency_difference(s, known), data=False
        )
    in_training = {normal_form(x, modality) for x in train}
    valid = [form for x in samples if (form := normal_form(x, modality))]
    novel = float(np.mean([x not in in_training for x in valid])) if valid else math.nan
    yield Figure(SAMPLES, modality, "novelty", len(valid), novel)
    yield figure("mean length in letters", lambda s: float(np.mean([len(x) for x in s])))


def _writable(model: PreTrainedModel, tokenizer: Any, sequences: Sequence[str]) -> tuple[list[str], list[list[int]]]:
    """Return the sequences that the policy can write, and their ids from `<bos>` to `<eos>`."""
    most = model.config.max_position_embeddings - 2
    rows = tokenizer(list(sequences), add_special_tokens=False, verbose=False).input_ids
    kept = [
        (s, ids)
        for s, ids in zip(sequences, rows, strict=True)
        if len(ids) <= most and tokenizer.unk_token_id not in ids
    ]
    return [s for s, _ in kept], [[tokenizer.bos_token_id, *ids, tokenizer.eos_token_id] for _, ids in kept]


@torch.inference_mode()
def _log_probabilities(model: PreTrainedModel, row: Sequence[int]) -> np.ndarray:
    ids = torch.tensor([row], device=model.device)
    log_p = model(input_ids=ids[:, :-1]).logits[0].float().log_softmax(-1)
    return log_p.gather(1, ids[0, 1:, None])[:, 0].double().cpu().numpy()
