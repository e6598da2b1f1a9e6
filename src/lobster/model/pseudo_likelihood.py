"""The pseudo-likelihood engine: how likely a masked language model finds each token given all the others.

For a sequence of n tokens the log score is the mean over its own tokens of log p(token | rest), and the pseudo-likelihood
is exp of that: the geometric mean probability of a token, 1 / pseudo-perplexity (Salazar et al., "Masked Language Model
Scoring", ACL 2020). A masked model learns nothing about a token that it can see, so every token is masked exactly once:

- ``exact`` masks one token a pass: n passes.
- ``strided`` masks every K-th token a pass: K passes, each with about the share of masks that pretraining had.

The score depends on the sequence alone: not on its neighbours in the batch, the padding or the batch size.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch

from lobster.model.network import UmeForMaskedLM

Method = Literal["strided", "exact"]

# Tokens of one forward pass on a CPU: throughput is best at 1,300-5,000 and falls by 10,000 (two cores, float32).
_CPU_TOKENS = 4096


def masked_positions(num_tokens: int, stride: int) -> list[np.ndarray]:
    """Return the positions that each pass masks; over the passes every position comes once.

    >>> [p.tolist() for p in masked_positions(5, 2)]
    [[0, 2, 4], [1, 3]]
    """
    return [np.arange(first, num_tokens, stride) for first in range(min(stride, num_tokens))]


def mean_log_probabilities(
    model: UmeForMaskedLM,
    sequences: Sequence[Sequence[int]],
    mask_token_id: int,
    pad_token_id: int,
    max_tokens: int,
    method: Method = "strided",
) -> list[float]:
    """Return for each sequence the mean over its own tokens of log p(token | rest), in nats.

    Args:
        model: The encoder; it is used as it is (put it into evaluation mode first).
        sequences: Token ids, each `<cls> … <eos>`. The first and the last are context and are not scored.
        mask_token_id: Id of ``<mask>``.
        pad_token_id: Id of ``<pad>``.
        max_tokens: Most tokens, padding included, that one forward pass may hold. A pass that runs out of memory is
            halved and tried again.
        method: ``"strided"`` (K = 1 / mask rate of pretraining passes) or ``"exact"`` (one pass a token).

    Raises:
        ValueError: A sequence has no token of its own, or the method is unknown.
    """
    if method not in ("strided", "exact"):
        raise ValueError(f"method {method!r} is unknown: expected 'strided' or 'exact'")
    rows: list[tuple[int, np.ndarray]] = []  # (sequence, positions to mask), one for each pass over each sequence
    for i, ids in enumerate(sequences):
        if len(ids) < 3:
            raise ValueError(f"sequence {i} has no tokens of its own: nothing to score")
        stride = len(ids) - 2 if method == "exact" else max(1, round(1 / model.config.mask_rate))
        rows += [(i, 1 + positions) for positions in masked_positions(len(ids) - 2, stride)]
    rows.sort(key=lambda row: len(sequences[row[0]]), reverse=True)  # stable: equal lengths share a batch

    if model.device.type == "cpu":
        max_tokens = min(max_tokens, _CPU_TOKENS)
    sums = np.zeros(len(sequences))
    batches = list(_batches(rows, sequences, max_tokens))[::-1]
    while batches:
        batch = batches.pop()
        try:
            log_p = _log_probabilities(model, batch, sequences, mask_token_id, pad_token_id)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            half = len(batch) // 2
            batches += [batch[half:], batch[:half]]
            continue
        np.add.at(sums, np.repeat([i for i, _ in batch], [len(p) for _, p in batch]), log_p)
    return [float(total / (len(ids) - 2)) for total, ids in zip(sums, sequences, strict=True)]


def _batches(rows: list, sequences: Sequence[Sequence[int]], max_tokens: int) -> Iterator[list]:
    """Cut rows, longest first, into batches of at most ``max_tokens`` padded tokens (a row at least)."""
    start = 0
    while start < len(rows):
        size = max(1, max_tokens // len(sequences[rows[start][0]]))
        yield rows[start : start + size]
        start += size


@torch.inference_mode()
def _log_probabilities(
    model: UmeForMaskedLM, rows: list, sequences: Sequence[Sequence[int]], mask_token_id: int, pad_token_id: int
) -> np.ndarray:
    """Return log p of the true token at every masked position of the rows, in order, float64."""
    lengths = np.array([len(sequences[i]) for i, _ in rows])
    real = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(real.shape, pad_token_id, dtype=np.int64)
    ids[real] = np.concatenate([np.asarray(sequences[i]) for i, _ in rows])
    masked = np.zeros_like(real)
    masked[np.repeat(np.arange(len(rows)), [len(p) for _, p in rows]), np.concatenate([p for _, p in rows])] = True

    device = model.device
    targets = torch.from_numpy(ids[masked]).to(device)
    ids[masked] = mask_token_id
    attention_mask = None if real.all() else torch.from_numpy(real).to(device)
    hidden = model.encode(torch.from_numpy(ids).to(device), attention_mask)
    logits = model.predict(hidden[torch.from_numpy(masked).to(device)]).float()  # (masked positions, vocabulary)
    log_p = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
    return log_p.double().cpu().numpy()
