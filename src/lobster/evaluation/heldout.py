"""What a model makes of sequences that it was not trained on, beside a unigram baseline."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lobster.constants import Modality
from lobster.evaluation.corruption import corrupt_letters, replace_tokens, swap_tokens
from lobster.model import Ume
from lobster.model.utils import canonical_smiles


@dataclass(frozen=True)
class Pairs:
    """How often real sequences beat corruptions of themselves.

    Attributes:
        corruption: What was done to the real ones.
        count: Number of pairs.
        won: Share of the pairs in which the real one has the higher pseudo-likelihood.
        unigram_won: The same with the mean log frequency of a token as the score; a tie counts half.
    """

    corruption: str
    count: int
    won: float
    unigram_won: float


@dataclass(frozen=True)
class UmeFigures:
    """What a UME makes of held-out sequences of one modality.

    Attributes:
        count: Number of sequences.
        pseudo_perplexity: exp of minus the mean over all tokens of log p(token | rest).
        unigram_perplexity: The same with the frequency of a token in training as its probability.
        pairs: Real against corrupted, for each kind of corruption.
    """

    count: int
    pseudo_perplexity: float
    unigram_perplexity: float
    pairs: list[Pairs]


class Unigram:
    """Token frequencies of a corpus, with one added to each count."""

    def __init__(self, sequences: Sequence[Sequence[int]], vocab_size: int):
        counts = np.ones(vocab_size)
        for token, count in Counter(chain.from_iterable(sequences)).items():
            counts[token] += count
        self.log_p = np.log(counts / counts.sum())

    def score(self, sequence: Sequence[int]) -> float:
        """Return the mean log probability of a token."""
        return float(self.log_p[list(sequence)].mean())


def ume_figures(
    ume: Ume, modality: Modality, train: Sequence[str], heldout: Sequence[str], count: int = 500, seed: int = 0
) -> UmeFigures:
    """Measure a UME on held-out sequences of one modality.

    Corruptions of SMILES are 4 token swaps and 4 replacements that RDKit accepts, scored in canonical form as the reward
    does; of proteins and nucleotides, 4 % of the letters replaced.

    Args:
        ume: The encoder.
        modality: The modality of the sequences.
        train: Sequences of training, for the unigram model.
        heldout: Sequences to measure on; those longer than the encoder's `max_length` are left out.
        count: How many to draw of them.
        seed: Of the draw and the corruptions.
    """
    rng = np.random.default_rng(seed)
    chosen = [heldout[i] for i in rng.permutation(len(heldout))[: 2 * count]]
    train_ids = [ids[1:-1] for ids in ume.tokenize([train[i] for i in rng.permutation(len(train))[:5000]], modality)]
    unigram = Unigram(train_ids, ume.model.config.vocab_size)
    real = [s for s, ids in zip(chosen, ume.tokenize(chosen, modality), strict=True) if len(ids) <= ume.max_length]
    real = real[:count]
    own = [ids[1:-1] for ids in ume.tokenize(real, modality)]
    scores = ume.compute_pseudo_likelihood(real, modality)
    lengths = np.array([len(ids) for ids in own])
    perplexity = np.exp(-np.average(np.log(scores), weights=lengths))
    baseline = np.exp(-np.average([unigram.score(ids) for ids in own], weights=lengths))

    def compete(name: str, corrupted: Sequence[str | None]) -> Pairs:
        pairs = [(ids, score, c) for ids, score, c in zip(own, scores, corrupted, strict=True) if c]
        rivals = [c for _, _, c in pairs]
        rival_scores = ume.compute_pseudo_likelihood(rivals, modality)
        rival_ids = [ids[1:-1] for ids in ume.tokenize(rivals, modality)]
        margins = [unigram.score(a) - unigram.score(b) for (a, _, _), b in zip(pairs, rival_ids, strict=True)]
        unigram_won = np.mean([0.5 if abs(margin) < 1e-9 else margin > 0 for margin in margins])
        won = np.mean([score > rival for (_, score, _), rival in zip(pairs, rival_scores, strict=True)])
        return Pairs(name, len(pairs), float(won), float(unigram_won))

    if modality is Modality.SMILES:
        alphabet = ume.get_tokenizer(modality).convert_ids_to_tokens(list(chain.from_iterable(train_ids[:2000])))
        swapped = [canonical_smiles(c) if (c := swap_tokens(s, rng)) else None for s in real]
        replaced = [canonical_smiles(c) if (c := replace_tokens(s, alphabet, rng)) else None for s in real]
        pairs = [compete("4 tokens swapped", swapped), compete("4 tokens replaced", replaced)]
    else:
        pairs = [compete("4 % replaced", [corrupt_letters(s, modality, rng, rate=0.04) for s in real])]
    return UmeFigures(len(real), float(perplexity), float(baseline), pairs)


@torch.inference_mode()
def policy_perplexity(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, train: Sequence[str], heldout: Sequence[str]
) -> tuple[float, float, int]:
    """Return a policy's perplexity per token on held-out sequences, a unigram model's, and the number of sequences.

    Sequences with tokens that the policy does not know are left out.
    """
    eos = int(tokenizer.eos_token_id)
    rows = [[*ids, eos] for ids in tokenizer(list(heldout)).input_ids if tokenizer.unk_token_id not in ids]
    total, tokens = 0.0, 0
    for row in rows:
        logits = model(input_ids=torch.tensor([row[:-1]], device=model.device)).logits[0]
        log_p = logits.float().log_softmax(-1).cpu()
        total += float(log_p[torch.arange(len(row) - 1), row[1:]].sum())
        tokens += len(row) - 1
    unigram = Unigram([[*ids[1:], eos] for ids in tokenizer(list(train)).input_ids], len(tokenizer))
    baseline = sum(unigram.log_p[row[1:]].sum() for row in rows)
    return float(np.exp(-total / tokens)), float(np.exp(-baseline / tokens)), len(rows)
