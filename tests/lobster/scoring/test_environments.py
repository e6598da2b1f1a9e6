"""Atom environments: what is common in a reference, and what is not."""

import math

import pytest

from lobster.scoring.environments import Environments

BENZENES = [f"c1ccccc1{side}" for side in ("C", "O", "N", "CC", "OC", "F", "Cl", "C(=O)O")]


def test_what_is_in_all_of_the_reference_is_as_common_as_can_be():
    assert Environments.of(["CC"] * 5).commonness("CC") == 0
    assert Environments.of(["CC"] * 4).commonness("OO") == pytest.approx(math.log(0.5 / 4))


def test_one_of_the_reference_counts_for_nothing_in_its_own_commonness():
    environments = Environments.of([*BENZENES, "NS(=O)(=O)I"])
    assert environments.commonness("NS(=O)(=O)I", known=True) == pytest.approx(math.log(0.5 / 9))
    assert environments.commonness("NS(=O)(=O)I") > environments.commonness("NS(=O)(=O)I", known=True)


@pytest.mark.parametrize("strange", ["O=c1cccccc1", "C1=CC1", "NN=NN", "FOF", "C1CCCCCCCCC1"])
def test_strange_rings_and_bonds_are_rarer_than_what_the_reference_has(strange):
    environments = Environments.of(BENZENES)
    assert environments.commonness("Cc1ccccc1O") > environments.commonness(strange)


def test_lone_atoms_and_salts_have_a_value_too():
    environments = Environments.of(BENZENES)
    for smiles in ("C", "[Na+].[Cl-]", "[Xe]", "CC"):
        assert environments.commonness(smiles) == pytest.approx(math.log(0.5 / 8))


def test_rare_environments_can_be_left_out():
    assert Environments.of(["CC", "CC", "OO"], least=2).counts.keys() == Environments.of(["CC"]).counts.keys()
