"""The pseudo-likelihood engine: how likely a masked language model finds each token given all the others.

For a sequence of n tokens the log score is the mean over its own tokens of log p(token | rest), and the pseudo-likelihood
is exp of that: the geometric mean probability of a token, 1 / pseudo-perplexity (Salazar et al., "Masked Language Model
Scoring", ACL 2020). A masked model learns nothing about a token that it can see, so every token is masked exactly once:

- ``exact`` masks one token a pass: n passes.
- ``strided`` masks every K-th token a pass: K passes, each with about the share of masks that pretraining had.

The score depends on the sequence alone: not on its neighbours in the batch, the padding or the batch size.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, groupby, pairwise
from typing import Literal, TypeGuard, TypeVar

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from lobster.model.network import UmeForMaskedLM

Method = Literal["strided", "exact"] | int
T = TypeVar("T")
U = TypeVar("U")
Row = tuple[int, np.ndarray]  # a sequence's number, and which of its positions one pass masks

# Names under which a configuration says what share of the tokens pretraining masked, and BERT's for one that does not say.
_MASK_RATE_NAMES = ("mask_rate", "mlm_probability")
_MASK_RATE = 0.15

# Tokens of one forward pass on a CPU: throughput is best at 2,000 and falls below 1,000 and by 8,000 (`benchmarks/NOTES.md`).
_CPU_TOKENS = 1024, 2048

# Logits of one forward pass of a network that gives them for every token: half a gigabyte in float32.
_LOGITS = 2**27


def mask_rate(config: PreTrainedConfig) -> float:
    """Return the share of a sequence's tokens that pretraining masked.

    Raises:
        ValueError: The configuration says something that is no share.
    """
    said = [(name, getattr(config, name)) for name in _MASK_RATE_NAMES if getattr(config, name, None) is not None]
    for name, rate in said:
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 1:
            raise ValueError(f"{name} of the configuration is {rate!r}: expected a share of the tokens, such as 0.15")
    return float(said[0][1]) if said else _MASK_RATE


def masked_positions(num_tokens: int, stride: int) -> list[np.ndarray]:
    """Return the positions that each pass masks; over the passes every position comes once.

    >>> [p.tolist() for p in masked_positions(5, 2)]
    [[0, 2, 4], [1, 3]]
    """
    return [np.arange(first, num_tokens, stride) for first in range(min(stride, num_tokens))]


def windows(num_tokens: int, size: int, unit: int = 1) -> list[tuple[range, range]]:
    """Return windows over a sequence, half of each over the next, and which of its tokens each window scores.

    Every token is scored once, where more of the sequence is around it than in any other window.

    Args:
        num_tokens: Tokens of the sequence.
        size: Most tokens of a window.
        unit: What the windows' starts are multiples of; 3 where a model counts codons from the first base.

    >>> [(list(window), list(scored)) for window, scored in windows(7, 4)]
    [([0, 1, 2, 3], [0, 1, 2]), ([2, 3, 4, 5], [3]), ([3, 4, 5, 6], [4, 5, 6])]
    """
    if num_tokens <= size:
        return [(range(num_tokens), range(num_tokens))]
    step = max(unit, size // 2 // unit * unit)
    last = -(-(num_tokens - size) // unit) * unit
    found = [range(start, min(start + size, num_tokens)) for start in [*range(0, last, step), last]]
    cuts = [0, *((one.stop + other.start) // 2 for one, other in pairwise(found)), num_tokens]
    return [(window, range(*scored)) for window, scored in zip(found, pairwise(cuts), strict=True)]


def scoring_rows(
    model: PreTrainedModel,
    sequences: Sequence[Sequence[int]],
    method: Method = "strided",
    scored: Sequence[range] | None = None,
) -> list[Row]:
    """Return the passes that mask every token of each sequence that is scored once.

    Args:
        model: The encoder, whose configuration says how many tokens pretraining masked.
        sequences: Token ids.
        method: As in `token_log_probabilities`.
        scored: The positions of each sequence to score; by default all but the first and the last, which are context.

    Raises:
        ValueError: A sequence has no token of its own, or the method is unknown.
    """
    if method not in ("strided", "exact") and not (isinstance(method, int) and method >= 1):
        raise ValueError(f"method {method!r} is unknown: expected 'strided', 'exact' or a number of passes")
    rows: list[Row] = []
    for i, ids in enumerate(sequences):
        own = scored[i] if scored else range(1, len(ids) - 1)
        if not own:
            raise ValueError(f"sequence {i} has no tokens of its own: nothing to score")
        stride = len(own) if method == "exact" else method
        if method == "strided":
            stride = max(1, round(1 / mask_rate(model.config)))
        rows += [(i, own.start + positions) for positions in masked_positions(len(own), int(stride))]
    return rows


def token_log_probabilities(
    model: PreTrainedModel,
    sequences: Sequence[Sequence[int]],
    mask_token_id: int,
    pad_token_id: int,
    max_tokens: int,
    method: Method = "strided",
    scored: Sequence[range] | None = None,
) -> list[np.ndarray]:
    """Return log p(token | rest) of each sequence's own tokens, float64, (tokens,), in nats.

    Args:
        model: The encoder; it is used as it is (put it into evaluation mode first).
        sequences: Token ids, each `<cls> … <eos>`. The first and the last are context and are not scored.
        mask_token_id: Id of ``<mask>``.
        pad_token_id: Id of ``<pad>``.
        max_tokens: Most tokens, padding included, that one forward pass may hold. A pass that runs out of memory is
            halved and tried again.
        method: ``"strided"`` (K = 1 / mask rate of pretraining passes), ``"exact"`` (one pass a token), or K.
        scored: The positions of each sequence to score; by default all but the first and the last.

    Raises:
        ValueError: A sequence has no token of its own, or the method is unknown.
    """
    rows = scoring_rows(model, sequences, method, scored)
    found = [np.zeros(len(ids)) for ids in sequences]
    for batch, logits, targets in masked_logits(model, sequences, rows, mask_token_id, pad_token_id, max_tokens):
        log_p = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0].double().cpu().numpy()
        ends = np.cumsum([len(positions) for _, positions in batch])
        for (i, positions), part in zip(batch, np.split(log_p, ends[:-1]), strict=True):
            found[i][positions] = part
    owns = scored or [range(1, len(ids) - 1) for ids in sequences]
    return [row[own.start : own.stop] for row, own in zip(found, owns, strict=True)]


def mean_log_probabilities(
    model: PreTrainedModel,
    sequences: Sequence[Sequence[int]],
    mask_token_id: int,
    pad_token_id: int,
    max_tokens: int,
    method: Method = "strided",
) -> list[float]:
    """Return for each sequence the mean of its `token_log_probabilities`, in nats."""
    found = token_log_probabilities(model, sequences, mask_token_id, pad_token_id, max_tokens, method)
    return [float(row.mean()) for row in found]


def sequence_numbers(rows: Sequence[Row]) -> np.ndarray:
    """Return for each masked position of some rows, in order, the number of its sequence."""
    return np.repeat([i for i, _ in rows], [len(positions) for _, positions in rows])


def masked_logits(
    model: PreTrainedModel,
    sequences: Sequence[Sequence[int]],
    rows: Sequence[Row],
    mask_token_id: int,
    pad_token_id: int,
    max_tokens: int,
) -> Iterator[tuple[list[Row], Tensor, Tensor]]:
    """Yield batches of rows, the longest first, with the float32 logits and the true ids at their masked positions.

    The logits have the shape (masked positions of the batch, vocabulary), in the order of the rows.
    """
    if model.device.type == "cpu":
        max_tokens = min(max_tokens, _CPU_TOKENS[1])
    if not isinstance(model, UmeForMaskedLM):
        max_tokens = min(max_tokens, _LOGITS // model.config.vocab_size)
    arrays = [np.asarray(ids) for ids in sequences]
    rows = sorted(rows, key=lambda row: len(arrays[row[0]]), reverse=True)  # stable: equal lengths share a batch

    def forward(batch: list[Row]) -> tuple[list[Row], Tensor, Tensor]:
        if _packs(model):
            logits, targets = _forward_packed(model, batch, arrays, mask_token_id)
        else:
            logits, targets = _forward_padded(model, batch, arrays, mask_token_id, pad_token_id)
        return batch, logits.float(), targets

    # several packed passes at a time: what lies between the products of one keeps one core busy
    cores, tokens = torch.get_num_threads(), sum(len(arrays[i]) for i, _ in rows)
    passes = max(1, min(cores, tokens // _CPU_TOKENS[0])) if _packs(model) else 1
    if passes > 1:
        max_tokens = -(-tokens // (passes * -(-tokens // (passes * max_tokens))))  # as much for each
    batches = _batches(rows, arrays, max_tokens)
    yield from chain.from_iterable(_side_by_side(partial(_halved, forward), batches, passes, cores // passes))


def _halved(forward: Callable[[list[Row]], U], batch: list[Row]) -> list[U]:
    """Return what a forward pass makes of a batch, or, where there is too little memory, of its halves."""
    try:
        return [forward(batch)]
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    half = len(batch) // 2  # out here, where the failed pass has let go of its memory
    return _halved(forward, batch[:half]) + _halved(forward, batch[half:])


def _packs(model: PreTrainedModel) -> TypeGuard[UmeForMaskedLM]:
    """Say whether sequences of all lengths go through a network without padding: on a GPU that would be too many kernels."""
    return isinstance(model, UmeForMaskedLM) and model.device.type == "cpu"


def _batches(rows: list[Row], sequences: Sequence[np.ndarray], max_tokens: int) -> Iterator[list[Row]]:
    """Cut rows, longest first, into batches of at most ``max_tokens`` padded tokens (a row at least)."""
    start = 0
    while start < len(rows):
        size = max(1, max_tokens // len(sequences[rows[start][0]]))
        yield rows[start : start + size]
        start += size


def _side_by_side(work: Callable[[T], U], items: Iterable[T], count: int, threads: int) -> Iterator[U]:
    """Yield what some work makes of each item, in order, so many at a time, each on some of PyTorch's threads."""
    if count == 1:
        yield from map(work, items)
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
            waiting: deque[Future[U]] = deque()
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > count:  # what is not asked for yet is not worked out: memory stays flat
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def _forward_packed(
    model: UmeForMaskedLM, rows: list[Row], sequences: Sequence[np.ndarray], mask_token_id: int
) -> tuple[Tensor, Tensor]:
    """Return logits and true ids at the masked positions of the rows, in order; nothing is padded."""
    runs = [list(run) for _, run in groupby(rows, key=lambda row: len(sequences[row[0]]))]
    ids = [np.stack([sequences[i] for i, _ in run]) for run in runs]
    masked = [_masked(run, some.shape) for run, some in zip(runs, ids, strict=True)]
    targets = np.concatenate([some[at] for some, at in zip(ids, masked, strict=True)])
    inputs = [torch.from_numpy(np.where(at, mask_token_id, some)) for some, at in zip(ids, masked, strict=True)]
    at = np.flatnonzero(np.concatenate([some.ravel() for some in masked]))
    return model.predict(model.encode_packed(inputs, torch.from_numpy(at))), torch.from_numpy(targets)


@torch.inference_mode()
def _forward_padded(
    model: PreTrainedModel, rows: list[Row], sequences: Sequence[np.ndarray], mask_token_id: int, pad_token_id: int
) -> tuple[Tensor, Tensor]:
    """Return logits and true ids at the masked positions of the rows, in order."""
    lengths = np.array([len(sequences[i]) for i, _ in rows])
    real = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(real.shape, pad_token_id, dtype=np.int64)
    ids[real] = np.concatenate([sequences[i] for i, _ in rows])
    masked = _masked(rows, real.shape)

    device = model.device
    targets = torch.from_numpy(ids[masked]).to(device)
    ids[masked] = mask_token_id
    input_ids, at = torch.from_numpy(ids).to(device), torch.from_numpy(masked).to(device)
    attention_mask = None if real.all() else torch.from_numpy(real).to(device)
    if isinstance(model, UmeForMaskedLM):  # the end of the network at the masked positions alone
        return model.predict(model.encode(input_ids, attention_mask, at)), targets
    return model(input_ids=input_ids, attention_mask=torch.from_numpy(real).long().to(device)).logits[at], targets


def _masked(rows: list[Row], shape: tuple[int, ...]) -> np.ndarray:
    """Return where rows are masked, (rows, length)."""
    masked = np.zeros(shape, dtype=bool)
    masked[np.repeat(np.arange(len(rows)), [len(p) for _, p in rows]), np.concatenate([p for _, p in rows])] = True
    return masked
