"""What a model makes of sequences that it was not trained on, beside a unigram baseline."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lobster.constants import Modality
from lobster.evaluation.corruption import corrupt_letters, corrupt_smiles
from lobster.model import Ume
from lobster.model.utils import canonical_smiles


@dataclass(frozen=True)
class UmeFigures:
    """What a UME makes of held-out sequences of one modality.

    Attributes:
        count: Number of sequences.
        pseudo_perplexity: exp of minus the mean over all tokens of log p(token | rest).
        unigram_perplexity: The same with the frequency of a token in training as its probability.
        pairs: Number of pairs of a real sequence and a corruption of it.
        pairs_won: Share of the pairs in which the real one has the higher pseudo-likelihood.
        unigram_pairs_won: The same with the unigram model.
    """

    count: int
    pseudo_perplexity: float
    unigram_perplexity: float
    pairs: int
    pairs_won: float
    unigram_pairs_won: float


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

    Corruptions are of 4 tokens, accepted by RDKit at each step, for SMILES, and of 4 % of the letters else. SMILES are
    scored in canonical form.

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
    train_ids = [ids[1:-1] for ids in ume.tokenize([train[i] for i in rng.permutation(len(train))[:20000]], modality)]
    unigram = Unigram(train_ids, ume.model.config.vocab_size)
    ids = ume.tokenize(chosen, modality)
    kept = [i for i, row in enumerate(ids) if len(row) <= ume.max_length][:count]
    real = [chosen[i] for i in kept]
    lengths = np.array([len(ids[i]) - 2 for i in kept])
    scores = ume.compute_pseudo_likelihood(real, modality)
    perplexity = np.exp(-(np.log(scores) * lengths).sum() / lengths.sum())
    baseline = np.exp(-(np.array([unigram.score(ids[i][1:-1]) for i in kept]) * lengths).sum() / lengths.sum())

    if modality is Modality.SMILES:
        tokenizer = ume.get_tokenizer(modality)
        alphabet = tokenizer.convert_ids_to_tokens(list(chain.from_iterable(train_ids[:2000])))
        found = [corrupt_smiles(s, alphabet, rng) for s in real]
        corrupted = [canonical_smiles(c) if c else None for c in found]
    else:
        corrupted = [corrupt_letters(s, modality, rng, rate=0.04) for s in real]
    pairs = [(r, c, p) for r, c, p in zip(real, corrupted, scores, strict=True) if c]
    rivals = [c for _, c, _ in pairs]
    rival_scores = ume.compute_pseudo_likelihood(rivals, modality)
    won = [p > q for (_, _, p), q in zip(pairs, rival_scores, strict=True)]
    own_ids, rival_ids = ume.tokenize([r for r, _, _ in pairs], modality), ume.tokenize(rivals, modality)
    unigram_won = [unigram.score(a[1:-1]) > unigram.score(b[1:-1]) for a, b in zip(own_ids, rival_ids, strict=True)]
    return UmeFigures(
        len(real), float(perplexity), float(baseline), len(pairs), float(np.mean(won)), float(np.mean(unigram_won))
    )


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
