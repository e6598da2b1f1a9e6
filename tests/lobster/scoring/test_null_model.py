"""The null model: by hand, and what it does not reward."""

import math
import random

import pytest

from lobster.constants import Modality
from lobster.scoring.null_model import NullModel

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


def test_one_letter_by_hand():
    """2 letters, of 3 and 1 in the reference: (seen + 5/52) / (4 + 5), then (rest + 10 frequency) / (1 + 10)."""
    null = NullModel.of(["AAAC"], Modality.AMINO_ACID)
    a = (3 + 5 / 52) / (4 + 5)
    assert null.log_probability("AA") == pytest.approx(math.log((1 + 10 * a) / 11))
    c = (1 + 5 / 52) / (4 + 5)
    assert null.log_probability("AC") == pytest.approx((math.log(10 * a / 11) + math.log(10 * c / 11)) / 2)
    assert null.log_probability("") == 0


@pytest.mark.parametrize("letters", ["L", "AL", "EK", "ALGVE"])
def test_what_is_made_of_few_letters_is_no_surprise_to_it(letters):
    rng = random.Random(0)
    null = NullModel.of(["".join(rng.choices(RESIDUES, k=200)) for _ in range(50)], Modality.AMINO_ACID)
    few = "".join(rng.choices(letters, k=100))
    many = "".join(rng.choices(RESIDUES, k=100))
    assert null.log_probability(few) > null.log_probability(many) + 0.9


def test_short_sequences_are_no_less_of_a_surprise_to_it_than_long_ones():
    """Counts that had the letter itself among them would make 12 residues, each drawn once, look foreseen."""
    rng = random.Random(0)
    null = NullModel.of(["".join(rng.choices(RESIDUES, k=200)) for _ in range(200)], Modality.AMINO_ACID)
    short, long = (sum(null.log_probability(rng.choices(RESIDUES, k=n)) for _ in range(400)) / 400 for n in (12, 300))
    assert long - 0.25 < short < long
    assert abs(long + math.log(20)) < 0.12


def test_the_grammar_of_smiles_is_no_surprise_to_it():
    null = NullModel.of([list("CC(=O)NCC(=O)O")] * 30, Modality.SMILES)
    assert null.log_probability(list("CC(=O)N")) > null.log_probability(list("C=C(N)O"))
    one, other = (null.log_probability(list(s)) for s in ("C1CCCCC1", "C2CCCCC2"))
    assert one == other


def test_the_places_of_a_codon_are_counted_apart():
    null = NullModel.of(["acg" * 30] * 3, Modality.NUCLEOTIDE)
    assert null.log_probability("acg" * 10) > null.log_probability("cga" * 10) + 0.5


def test_rare_events_can_be_left_out():
    assert NullModel.of(["AAC"], Modality.AMINO_ACID, least=2).counts == {("0", "A"): 2}
