"""What proteins or genes that a policy writes are made of, all together and each, held where the policy started."""

from string import ascii_uppercase
from typing import Any, Self

import torch
from transformers import PreTrainedTokenizerBase

_COMMON = 0.002  # share of a letter that is held; rarer ones say too little
_KEPT = 0.6  # what is left of the latest counts after another batch
_REMEMBERED = 0.9  # what is left of the regression's sums after another batch
_CORRECTED = 0.3  # of a drift, with each batch
_PUSHED = 0.03  # of the sum of the drifts so far: what pushes a letter all the time
_PRIOR = 1000  # letters as frequent as at the start, added to the latest: what is rare says little
_LATEST = 0.2  # of the latest unevenness, what another batch says
_OPPOSED = 2.0  # spreads of the advantages for a spread of unevenness, where that has grown e-fold
_OPPOSED_LONG = 0.1  # of the sum of its drifts so far
_LONGEST = 20.0  # that sum


def letters_of_tokens(tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> torch.Tensor:
    """Return which letters each token is made of, upper case or lower: counts of A to Z and of the end, (vocabulary, 27)."""
    letters = torch.zeros(vocabulary, len(ascii_uppercase) + 1, dtype=torch.float64)
    special = set(tokenizer.all_special_ids)
    for token in range(min(vocabulary, len(tokenizer))):
        if token not in special:
            for letter in str(tokenizer.decode([token])).upper():
                if letter in ascii_uppercase:
                    letters[token, ascii_uppercase.index(letter)] += 1
    letters[tokenizer.eos_token_id, -1] = 1
    return letters


class Composition:
    """Keeps a policy from changing how often it writes each letter, and the end, while it learns what to write where.

    The quickest way to a higher likelihood often is another composition: alanine in proteins, G and C in genes, and
    anything shorter; or, where all letters together are held, sequences that are each made of few of them, such as genes rich in A
    and T beside others rich in G and C. Three things are done about it with each batch:

    1. What the letters' counts, and how uneven they are (Pearson's chi-squared of each sequence), explain of the advantages,
       by linear regression over about the last ten batches, is taken from them. What remains has nothing to do with them.
    2. What still drifts, noise above all, is taken back in the output layer: with h̄ the mean hidden state, the row of a token
       is lowered by (0.3 · d_a + 0.03 · Σ d_a over the batches so far) · h̄ / |h̄|² for each letter a in it, as if it had a
       bias; d_a = log(q_a / p_a), p are the shares of the letters at the start, q those of late. In the coordinates of an optimizer such as Adam this direction, in which every
       position agrees, is the fastest of all.
    3. What has nothing to do with unevenness changes it nonetheless, for a policy shares its weights among all that it writes. So
       each spread of unevenness costs (2 · u + 0.1 · Σ u) spreads of the advantages, u being the logarithm of the mean
       unevenness of late over that at the start, at most 1, and its sum at most 20.

    It is the whole of what is written that is held, and how much sequences differ from it, not each sequence.

    Args:
        came: How often each letter came in each sequence that was written at the start, (sequences, letters).

    Attributes:
        common: Which letters are held: all but rare ones, (letters,).
        start, latest: Their shares at the start, and their counts of late, (held,).
        start_unevenness, latest_unevenness: The mean of sequences, at the start and of late, ().
        hidden: The mean of what the output layer was given lately, float64, (width,).

    >>> came = torch.tensor([[1, 1, 2, 0], [4, 0, 0, 0], [0, 4, 0, 0], [0, 0, 4, 0]] * 25)
    >>> held = Composition(came)
    >>> liked = came[:, 0].double() - came[:, 0].double().mean()  # who is paid for the first letter
    >>> round(liked.std().item(), 2), round(held.unexplained(came, liked, group=100).std().item(), 2)
    (1.65, 0.01)
    """

    def __init__(self, came: torch.Tensor):
        came = came.double().cpu()
        total = came.sum(0)
        self.common = total >= _COMMON * total.sum()
        self.start = total[self.common] / total[self.common].sum()
        self.start_unevenness = self._unevenness(came[:, self.common]).mean()
        self.latest_unevenness = self.start_unevenness
        self.latest = torch.zeros_like(self.start)
        self.hidden: torch.Tensor | None = None
        self._drifts = torch.zeros_like(self.start)  # their sum
        self._unevenness_drifts = torch.zeros_like(self.start_unevenness)
        self._moments = torch.zeros(2 * [len(self.start) + 2], dtype=torch.float64)

    def unexplained(self, came: torch.Tensor, advantages: torch.Tensor, group: int) -> torch.Tensor:
        """Return what the letters do not explain of the advantages of sequences that are learned from, (batch,).

        Less for uneven ones where they have become more so.

        Args:
            came: How often each letter comes in each sequence, (batch, letters); no letter at all where it is not learned from.
            advantages: How much better each sequence is than others of its group, (batch,).
            group: Sequences in a row that answer one prompt.
        """
        came = came[:, self.common.to(came.device)].double().cpu()
        lengths = came.sum(1, keepdim=True)
        learned = lengths > 0
        usual = (lengths.sum() / learned.sum().clamp_min(1)).clamp_min(1)
        excess = (came - lengths * self.start) / (usual * self.start).sqrt()
        unevenness = self._unevenness(came)
        rows = torch.column_stack([excess, unevenness, advantages.double().cpu()]).unflatten(0, (-1, group))
        learned = learned.unflatten(0, (-1, group))
        means = (rows * learned).sum(1, keepdim=True) / learned.sum(1, keepdim=True).clamp_min(1)
        rows = ((rows - means) * learned).flatten(0, 1)
        self._moments = _REMEMBERED * self._moments + rows.T @ rows
        # Ridge regression: a letter that hardly varies explains nothing.
        squares = self._moments[:-1, :-1] + torch.eye(len(self.start) + 1, dtype=torch.float64)
        slopes = torch.linalg.solve(squares, self._moments[:-1, -1])
        left = rows[:, -1] - rows[:, :-1] @ slopes
        if learned.any():
            latest = unevenness[learned.flatten()].mean()
            self.latest_unevenness = (1 - _LATEST) * self.latest_unevenness + _LATEST * latest
        drift = self._unevenness_drift().clamp(-1, 1)
        self._unevenness_drifts = (self._unevenness_drifts + drift).clamp(-_LONGEST, _LONGEST)
        opposed = _OPPOSED * drift + _OPPOSED_LONG * self._unevenness_drifts
        slopes[-1] += opposed * left.std() / rows[:, -2].std().clamp_min(1e-6)
        return advantages - (rows[:, :-1] @ slopes).to(advantages)

    def remember(self, came: torch.Tensor) -> None:
        """Remember how often each letter came in a batch, what was cut included, (letters,)."""
        self.latest = _KEPT * self.latest + came.double().cpu()[self.common]

    def largest_drift(self) -> float:
        """Return by what share the letter that drifted most is more or less frequent than at the start."""
        return self._drift().expm1().abs().max().item()

    def unevenness(self) -> float:
        """Return how many times as uneven sequences are as at the start."""
        return self._unevenness_drift().exp().item()

    def _unevenness(self, came: torch.Tensor) -> torch.Tensor:
        """Return Pearson's chi-squared of each sequence by the number of letters, (sequences,); 0 where nothing came."""
        expected = came.sum(1, keepdim=True).clamp_min(1) * self.start
        return (came - expected).square().div(expected).mean(1) * (came.sum(1) > 0)

    def _unevenness_drift(self) -> torch.Tensor:
        least = torch.finfo(self.start.dtype).tiny
        return (self.latest_unevenness.clamp_min(least) / self.start_unevenness.clamp_min(least)).log()

    def _drift(self) -> torch.Tensor:
        latest = _PRIOR * self.start + self.latest
        return (latest / latest.sum() / self.start).log()

    @torch.no_grad()
    def correct(self, output: torch.Tensor, letters: torch.Tensor, pace: float = 1.0) -> None:
        """Take a part of the drift back, in place, in an output layer's weight.

        Nothing is done before `hidden` is known.

        Args:
            output: The weight, (vocabulary, width).
            letters: How often each letter comes in each token, (vocabulary, letters).
            pace: The learning rate as a share of the greatest: the slower a policy learns the slower it drifts, and the more
                of what seems to be drift is chance.
        """
        if self.hidden is None:
            return
        self._drifts = self._drifts + self._drift()
        change = pace * (_CORRECTED * self._drift() + _PUSHED * self._drifts)
        output -= torch.outer(letters[:, self.common].double() @ change, self.hidden / self.hidden.dot(self.hidden)).to(
            output
        )
        self.latest = self.latest * (-change).exp()

    def state(self) -> dict[str, Any]:
        """Return what it remembers, for JSON."""
        return {name: None if value is None else value.tolist() for name, value in vars(self).items()}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        """Return the one whose `state` it was."""
        held = cls.__new__(cls)
        for name, values in state.items():
            kind = torch.bool if name == "common" else torch.float64
            setattr(held, name, None if values is None else torch.tensor(values, dtype=kind))
        return held


def without_outliers(advantages: torch.Tensor, group: int, spreads: float = 3.0) -> torch.Tensor:
    """Return advantages, (batch,), none of which is further below the median of its group than some spreads.

    A failure earns 0. Where what succeeds earns 6.0 ± 0.5, a single one would have the gradient of a hundred others. A spread is the
    median distance from the median × 1.48, the standard deviation of normal numbers; where it is 0, all are left as they are.

    >>> without_outliers(torch.tensor([0.2, -0.1, 0.1, 0.3, -0.2, -6.0]), group=6)
    tensor([ 0.3149,  0.0149,  0.2149,  0.4149, -0.0851, -0.8746])
    """
    groups = advantages.unflatten(0, (-1, group))
    middle = groups.median(1, keepdim=True).values
    spread = 1.4826 * (groups - middle).abs().median(1, keepdim=True).values
    bounded = torch.where(spread > 0, groups.maximum(middle - spreads * spread), groups)
    return (bounded - bounded.mean(1, keepdim=True)).flatten(0, 1)
