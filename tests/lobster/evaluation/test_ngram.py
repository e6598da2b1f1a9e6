"""n-gram models against the definition, worked out the slow way."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobster.evaluation.ngram import NGram

SEQUENCES = st.lists(st.lists(st.integers(40, 44), min_size=1, max_size=12), min_size=1, max_size=6)


def slow(train: list[list[int]], order: int, context: tuple, token: int) -> float:
    """Witten-Bell by its formula; -1 stands before a sequence, and there is one token never seen."""
    vocabulary = {t for s in train for t in s}
    padded = [[-1] * (order - 1) + s for s in train]
    p = 1 / (len(vocabulary) + 1)
    for n in range(1, order + 1):
        h = context[len(context) - (n - 1) :]
        followers = Counter(s[i] for s in padded for i in range(order - 1, len(s)) if tuple(s[i - n + 1 : i]) == h)
        if followers:
            p = (followers[token] + len(followers) * p) / (followers.total() + len(followers))
    return p


@settings(max_examples=40, deadline=None)
@given(SEQUENCES, SEQUENCES, st.integers(1, 4))
def test_probabilities_are_those_of_the_definition(train: list[list[int]], heldout: list[list[int]], order: int):
    found = NGram(train, order).log_probabilities(heldout)
    assert [len(f) for f in found] == [len(s) for s in heldout]
    for sequence, log_p in zip(heldout, found, strict=True):
        padded = [-1] * (order - 1) + sequence
        known = {t for s in train for t in s}
        contexts = [
            tuple(t if t in known or t == -1 else None for t in padded[i : i + order - 1]) for i in range(len(sequence))
        ]
        expected = [slow(train, order, h, t) for h, t in zip(contexts, sequence, strict=True)]
        assert np.exp(log_p) == pytest.approx(expected)


@pytest.mark.parametrize("order", [1, 2, 5])
def test_probabilities_of_all_tokens_sum_to_one(order: int):
    model = NGram([[1, 2, 3, 1, 2, 2], [3, 3, 1]], order)
    next_token = [[1, 2, token] for token in (1, 2, 3, 99)]  # 99 is the one never seen
    assert sum(np.exp(row[-1]) for row in model.log_probabilities(next_token)) == pytest.approx(1)


def test_accuracy_is_of_the_likeliest_token():
    model = NGram([[1, 2, 1, 2, 1, 2, 1]], 2)
    assert model.accuracy([[1, 2, 1, 2]]) == 1
    assert model.accuracy([[2, 2, 2, 2]]) == 0
    assert NGram([[1, 2, 1, 2, 1, 2, 1]], 1).accuracy([[1, 2, 1, 2]]) == 0.5


def test_a_longer_context_tells_more_of_a_regular_language():
    train = [[1, 1, 2, 1, 1, 3] * 20]
    one, two, three = (-NGram(train, n).log_probabilities(train)[0].mean() for n in (1, 2, 3))
    assert one > two > three


def test_too_many_different_tokens_are_refused():
    with pytest.raises(ValueError, match="too many"):
        NGram([list(range(10_000))], 5)
