"""The batches of a run."""

import numpy as np
import pytest

from lobster.constants import Modality
from lobster.pretraining.batches import Batches
from lobster.pretraining.corpus import CorpusError, TokenCorpus

SMILES, PROTEIN = Modality.SMILES, Modality.AMINO_ACID
CORPORA = {
    SMILES: ["C" * n for n in (1, 2, 3, 5, 8, 13, 21, 34)] * 5,
    PROTEIN: ["ACDEFGHIKLMNPQRSTVWY"[: 4 + n % 16] * (1 + n % 3) for n in range(60)],
}


def corpora(sequences: dict[Modality, list[str]]) -> dict[Modality, TokenCorpus]:
    """Take a letter's code for its id."""
    return {modality: TokenCorpus.of([list(map(ord, s)) for s in found]) for modality, found in sequences.items()}


def texts(batches: Batches, i: int) -> tuple[Modality, list[str]]:
    modality, sequences, _ = batches[i]
    return modality, ["".join(map(chr, ids)) for ids in sequences]


def test_each_item_is_of_one_modality():
    batches = Batches(corpora(CORPORA), 20, tokens=64, max_length=64)
    assert len(batches) == 20
    for i in range(len(batches)):
        modality, sequences = texts(batches, i)
        assert sequences
        assert set(sequences) <= set(CORPORA[modality])


@pytest.mark.parametrize("tokens", [1, 40, 64, 500])
def test_padded_tokens_keep_to_the_budget_but_for_single_sequences(tokens: int):
    batches = Batches(corpora(CORPORA), 40, tokens=tokens, max_length=64)
    for i in range(len(batches)):
        _, sequences = texts(batches, i)
        assert len(sequences) == 1 or len(sequences) * (max(map(len, sequences)) + 2) <= tokens


def test_every_sequence_is_in_some_batch():
    batches = Batches(corpora({PROTEIN: CORPORA[PROTEIN]}), 60, tokens=100, max_length=64)
    assert {s for i in range(len(batches)) for s in texts(batches, i)[1]} == set(CORPORA[PROTEIN])


def test_items_follow_from_the_seed_and_their_number_alone():
    one, two, other = (Batches(corpora(CORPORA), 20, tokens=64, max_length=20, seed=seed) for seed in (3, 3, 4))
    forward = {i: (texts(one, i), one[i][2].random()) for i in range(20)}
    backward = {i: (texts(two, i), two[i][2].random()) for i in reversed(range(20))}
    assert all(forward[i] == backward[i] for i in range(20))
    assert [forward[i][0] for i in range(20)] != [texts(other, i) for i in range(20)]
    assert len({one[i][2].random() for i in range(20)}) == 20


@pytest.mark.parametrize(
    ("mixture", "expected"),
    [
        (None, {SMILES: 20, PROTEIN: 20}),
        ({SMILES: 0.75, PROTEIN: 0.25}, {SMILES: 30, PROTEIN: 10}),
        ({SMILES: 3.0, PROTEIN: 1.0}, {SMILES: 30, PROTEIN: 10}),
        ({PROTEIN: 1.0}, {PROTEIN: 40}),
        ({SMILES: 0.6, PROTEIN: 0.2, Modality.NUCLEOTIDE: 0.2}, {SMILES: 30, PROTEIN: 10}),
    ],
)
def test_mixture_is_the_share_of_the_batches(mixture: dict[Modality, float] | None, expected: dict[Modality, int]):
    batches = Batches(corpora(CORPORA), 40, tokens=64, max_length=64, mixture=mixture)
    found = [batches[i][0] for i in range(40)]
    assert {modality: found.count(modality) for modality in set(found)} == expected
    if len(expected) > 1:
        assert len(set(found[:20])) > 1  # mixed, not one modality after the other


def test_mixture_that_leaves_nothing_is_refused():
    with pytest.raises(CorpusError, match=r"mixture.*amino_acid"):
        Batches(corpora({PROTEIN: ["MKT"]}), 4, tokens=64, max_length=64, mixture={SMILES: 1.0})


def test_a_small_corpus_is_gone_through_again_evenly():
    batches = Batches(corpora({PROTEIN: ["M" * 10, "K" * 20, "T" * 30]}), 30, tokens=1, max_length=64)
    seen = [texts(batches, i)[1][0][0] for i in range(30)]
    assert {letter: seen.count(letter) for letter in "MKT"} == {"M": 10, "K": 10, "T": 10}


def test_long_proteins_are_cut_to_random_windows():
    protein = "".join(np.random.default_rng(0).choice(list("ACDEFGHIKLMNPQRSTVWY"), 200))
    batches = Batches(corpora({PROTEIN: [protein]}), 30, tokens=64, max_length=22)
    windows = [texts(batches, i)[1][0] for i in range(30)]
    assert all(len(window) == 20 and window in protein for window in windows)
    assert len(set(windows)) > 10


def test_windows_of_genes_start_at_a_codon():
    gene = "".join(chr(1000 + i) for i in range(300))
    batches = Batches(corpora({Modality.NUCLEOTIDE: [gene]}), 200, tokens=64, max_length=50)
    starts = [ord(texts(batches, i)[1][0][0]) - 1000 for i in range(200)]
    assert all(start % 3 == 0 for start in starts)
    assert max(starts) <= 252
    assert len(set(starts)) > 50
