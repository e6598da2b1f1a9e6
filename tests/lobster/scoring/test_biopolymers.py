"""Properties of proteins with odd residues, and motifs of RNA."""

import pytest

from lobster.scoring import biopolymers

MEASURES = [
    *(biopolymers.gravy, biopolymers.isoelectric_point, biopolymers.charge, biopolymers.instability_index),
    *(biopolymers.aromaticity, biopolymers.protein_weight, biopolymers.secondary_structure),
]


@pytest.mark.parametrize("measure", MEASURES)
def test_residues_without_properties_are_left_out(measure):
    assert measure("MKXTVBRQZERULKO") == measure("MKTVRQERLK")
    with pytest.raises(ValueError, match="'XXX' has no properties"):
        measure("XXX")


@pytest.mark.parametrize(
    ("sequence", "motif", "found"),
    [("ccaugcc", "AUG", 1), ("ccatgcc", "AUG", 1), ("ccaugcc", "ATG", 1), ("MKU", "U", 1), ("MKT", "U", 0)],
)
def test_a_motif_of_rna_is_one_of_dna(sequence, motif, found):
    assert biopolymers.motifs(sequence, wanted=[motif]) == found


def test_a_site_of_rna_is_one_of_dna():
    assert (
        biopolymers.forbidden_sites("ccgaattccc", ["GAAUUC"]) == biopolymers.forbidden_sites("gaauuc", ["EcoRI"]) == 0
    )
