"""How alike sequences are: alignments by hand, families and novelty against brute force."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobster.constants import Modality
from lobster.evaluation import families, identity, mean_identity
from lobster.evaluation.corruption import LETTERS
from lobster.evaluation.identity import Relatives

PROTEIN, DNA = Modality.AMINO_ACID, Modality.NUCLEOTIDE
proteins = st.text(alphabet=LETTERS[PROTEIN], min_size=1, max_size=60)
genes = st.text(alphabet="acgt", min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("one", "other", "modality", "expected"),
    [
        ("MKTVRQERLK", "MKTVRQERLK", PROTEIN, 1),
        ("MKTVRQERLK", "MKTVRQAALK", PROTEIN, 8 / 10),
        ("TVRQERL", "MKTVRQERLK", PROTEIN, 1),  # a fragment: gaps at the ends cost nothing
        ("MKTVRQERLKWWHHCC", "MKTVRQERLKGGWWHHCC", PROTEIN, 1),  # an insertion of two
        ("MKTVRQERLK", "LKWWHHCCDD", PROTEIN, 2 / 10),  # an overlap of two
        ("AAAA", "WWWW", PROTEIN, 0),
        ("acgtacgtac", "acgtccgtac", DNA, 9 / 10),
        ("acgtacgtacgtttgg", "acgtacgtaccgtttgg", DNA, 1),
        ("aaaa", "cccc", DNA, 0),
    ],
)
def test_identity_by_hand(one: str, other: str, modality: Modality, expected: float):
    assert identity(one, other, modality) == pytest.approx(expected)


@pytest.mark.parametrize(("letters", "modality"), [(proteins, PROTEIN), (genes, DNA)])
def test_identity_is_symmetric_and_one_for_itself(letters, modality: Modality):
    @settings(deadline=None, max_examples=60)
    @given(letters, letters)
    def check(one: str, other: str):
        assert identity(one, one, modality) == 1
        assert 0 <= identity(one, other, modality) == identity(other, one, modality) <= 1
        assert identity(one, one + other, modality) == 1

    check()


@pytest.mark.parametrize("modality", [PROTEIN, DNA])
def test_identities_are_those_of_an_alignment_with_the_best_score(modality: Modality):
    """Scores that carry the identities are the usual ones, and no alignment that Biopython traces has more of them."""
    from Bio.Align import PairwiseAligner, substitution_matrices

    usual = PairwiseAligner(mode="global", end_gap_score=0, match_score=2, mismatch_score=-3)
    usual.open_internal_gap_score, usual.extend_internal_gap_score = -7, -2
    if modality is PROTEIN:
        usual.substitution_matrix = substitution_matrices.load("BLOSUM62")
        usual.open_internal_gap_score, usual.extend_internal_gap_score = -12, -1
    rng = random.Random(0)
    for one, other in zip(_relatives(rng, modality, 20), _relatives(rng, modality, 20), strict=True):
        traced = usual.align(one, other)
        counts = [traced[i].counts().identities for i in range(min(len(traced), 50))]
        most = identity(one, other, modality) * min(len(one), len(other))
        assert most == pytest.approx(max(counts)) if len(traced) <= 50 else most >= max(counts)


def _relatives(rng: random.Random, modality: Modality, count: int, length: int = 90) -> list[str]:
    """Random sequences and copies of them with substitutions and small gaps, at 60 to 100 % identity."""
    letters = LETTERS[modality] if modality is PROTEIN else "acgt"
    found: list[str] = []
    while len(found) < count:
        parent = [rng.choice(letters) for _ in range(rng.randint(length // 2, length))]
        for _ in range(4):
            child = list(parent)
            for position in rng.sample(range(len(child)), int(rng.choice([0, 0.1, 0.18, 0.2, 0.3]) * len(child))):
                child[position] = rng.choice(letters)
            for _ in range(rng.randint(0, 2)):
                position = rng.randrange(len(child))
                child[position : position + rng.randint(0, 2)] = rng.choices(letters, k=rng.randint(0, 2))
            found.append("".join(child))
    return found[:count]


def _brute_force(sequences: list[str], modality: Modality, threshold: float) -> list[list[int]]:
    found: list[list[int]] = []
    for i in sorted(range(len(sequences)), key=lambda i: -len(sequences[i])):
        family = [f for f in found if identity(sequences[i], sequences[f[0]], modality) >= threshold]
        if family:
            family[0].append(i)
        else:
            found.append([i])
    return found


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9])
@pytest.mark.parametrize(("modality", "length"), [(PROTEIN, 90), (PROTEIN, 20), (DNA, 240)])
def test_words_never_change_the_families(modality: Modality, length: int, threshold: float):
    sequences = _relatives(random.Random(1), modality, 80, length)
    found = families(sequences, modality, threshold)
    assert found == _brute_force(sequences, modality, threshold)
    assert sorted(i for family in found for i in family) == list(range(80))
    assert 1 < len(found) < 80


@pytest.mark.parametrize(("modality", "length"), [(PROTEIN, 90), (DNA, 240)])
def test_words_never_hide_a_relative(modality: Modality, length: int):
    sequences = _relatives(random.Random(2), modality, 120, length)
    samples, reference = sequences[::2], sequences[1::2]
    relatives = Relatives(reference, modality)
    expected = [any(identity(s, r, modality) >= 0.8 for r in reference) for s in samples]
    assert [relatives.include(s) for s in samples] == expected
    assert 0 < sum(expected) < len(expected)


def test_few_unrelated_sequences_are_aligned(held_out):
    for modality, most in ((PROTEIN, 0.02), (DNA, 0.15)):
        longest = 378 if modality is DNA else 126
        sequences = [s.lower() if modality is DNA else s for s in held_out(modality) if 30 <= len(s) <= longest][:300]
        relatives = Relatives(sequences[50:], modality)
        assert np.mean([len(relatives.candidates(s)) for s in sequences[:50]]) / 250 < most


def test_no_sequences_and_short_ones():
    assert families([], PROTEIN) == []
    assert families(["M", "M", "K"], PROTEIN) == [[0, 1], [2]]
    assert not Relatives([], DNA).include("acgt")
    assert Relatives(["ac"], DNA).include("ac")
    assert math.isnan(mean_identity([], PROTEIN))
    assert math.isnan(mean_identity(["MK"], PROTEIN))


def test_mean_identity_of_all_pairs_and_of_random_ones():
    sequences = _relatives(random.Random(3), PROTEIN, 40)
    pairs = [identity(a, b, PROTEIN) for i, a in enumerate(sequences) for b in sequences[:i]]
    assert mean_identity(sequences, PROTEIN) == pytest.approx(np.mean(pairs))
    sampled = mean_identity(sequences, PROTEIN, pairs=500)
    assert sampled == mean_identity(sequences, PROTEIN, pairs=500)
    assert sampled == pytest.approx(np.mean(pairs), abs=4 * np.std(pairs) / 500**0.5)
