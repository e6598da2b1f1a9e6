"""What an encoder finds of each token."""

import numpy as np
import pytest

from lobster.constants import Modality
from lobster.model import explain


@pytest.mark.parametrize(
    ("sequence", "modality"), [("CC(Cl)[C@H](N)O", "SMILES"), ("MKTAYIAKQR", "amino_acid"), ("augGCC", "nucleotide")]
)
def test_a_pseudo_likelihood_is_made_of_it(tiny_ume, sequence, modality):
    found = tiny_ume.explain(sequence, modality)
    [expected] = tiny_ume.compute_pseudo_likelihood([sequence], modality)
    assert np.exp(found.log_probabilities.mean()) == pytest.approx(expected)
    assert "".join(found.tokens).upper() == found.sequence.upper()
    assert len(found.of_letters) == len(found.sequence)


def test_a_token_of_several_letters_gives_each_its_own(tiny_ume):
    found = tiny_ume.explain("CCl")
    assert found.of_letters.tolist() == found.log_probabilities[[0, 1, 1]].tolist()


def test_long_sequences_are_read_in_windows(tiny_ume):
    assert len(tiny_ume.explain("MKTAYIAKQR" * 10).tokens) == 100 > tiny_ume.max_length


def test_what_cannot_be_read_says_why(tiny_ume):
    with pytest.raises(ValueError, match="at position 2"):
        tiny_ume.explain("C[Xx+9]", "SMILES")
    assert explain(tiny_ume, ["C[Xx+9]"], Modality.SMILES) == [None]
