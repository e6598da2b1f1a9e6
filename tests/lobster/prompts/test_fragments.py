"""Fragments to grow: what follows a prompt is bound where it should be."""

import pytest

from lobster.prompts import growth_prompts
from lobster.sequences import canonical_smiles
from lobster.sequences.chemistry import random_spelling

GROWN = {
    "*c1ccncc1": {"Cc1ccncc1"},
    "*CO": {"CCO"},
    "C#*": {"C#C"},
    "C[C@H](N)*": {"CC(C)N"},
    "*C(=O)N*": {"CC(N)=O", "CNC=O"},
    "[*:1]c1ccc([2*])nc1": {"Cc1cccnc1", "Cc1ccccn1"},
    "c1ccccc1": {"Cc1ccccc1"},
    "c1cc[nH]c1": {"Cc1ccc[nH]1", "Cc1cc[nH]c1", "Cn1cccc1"},
    "[O-]C(=O)C*": {"CCC(=O)[O-]"},
    "[NH3+]C": {"CC[NH3+]", "C[NH2+]C"},
}


@pytest.mark.parametrize("fragment", GROWN)
def test_what_follows_is_bound_where_the_fragment_is_to_grow(fragment):
    prompts = growth_prompts(fragment, count=12)
    assert {canonical_smiles(prompt + "C") for prompt in prompts} == GROWN[fragment]
    assert len(set(prompts)) == len(prompts) <= 12


def test_a_stereocentre_keeps_its_hand():
    grown = {canonical_smiles(prompt + "CC") for prompt in growth_prompts("C[C@H](N)*")}
    assert grown == {canonical_smiles("C[C@H](N)CC")}


def test_each_place_has_its_share_of_the_prompts():
    grown = [canonical_smiles(prompt + "C") for prompt in growth_prompts("[*:1]c1ccc([2*])nc1", count=10)]
    assert sorted(map(grown.count, set(grown))) == [5, 5]


@pytest.mark.parametrize(
    ("fragment", "why"),
    [
        ("", "is no SMILES"),
        ("c1ccc", "is no SMILES"),
        ("FC(F)(F)F", "has no place to grow"),
        ("C*C", "not bound to one atom"),
        ("*", "not bound to one atom"),
    ],
)
def test_what_cannot_grow_is_refused(fragment, why):
    with pytest.raises(ValueError, match=why):
        growth_prompts(fragment)


def test_spellings_are_those_of_the_seed():
    assert growth_prompts("c1ccncc1") == growth_prompts("c1ccncc1") != growth_prompts("c1ccncc1", seed=1)
    assert len({random_spelling("Cc1ccccc1OC(C)CN") for _ in range(9)}) == 1
