"""Fragments to grow and to link, regions to rewrite: what a policy writes is bound where it should be."""

import pytest

from lobster.prompts import growth_prompts, linker_prompts, region_prompts
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
        ("*c1ccccc1.Cl", "is in 2 pieces: expected one, without a salt"),
    ],
)
def test_what_cannot_grow_is_refused(fragment, why):
    with pytest.raises(ValueError, match=why):
        growth_prompts(fragment)


LINKED = {
    ("*c1ccncc1", "*C1CCNCC1"): "c1cc(COC2CCNCC2)ccn1",
    ("[1*]C#N", "[*:2]CO"): "N#CCOCO",
    ("C[C@H](N)*", "*[C@@H](C)O"): "C[C@H](N)CO[C@@H](C)O",
    ("CC=*", "*C"): None,
    ("*[Sn](C)(C)C", "*CO"): "C[Sn](C)(C)COCO",
}


@pytest.mark.parametrize("pair", LINKED)
def test_a_linker_is_bound_to_both_fragments_whichever_is_the_prompt(pair):
    rows = linker_prompts(*pair, count=10)
    assert {row["suffix"] for row in rows[:2]} == {row["suffix"] for row in rows}
    assert len({(row["prompt"], row["suffix"]) for row in rows}) == len(rows) <= 10
    written = {canonical_smiles(row["prompt"] + "CO" + row["suffix"]) for row in rows[::2]}
    back = {canonical_smiles(row["prompt"] + "OC" + row["suffix"]) for row in rows[1::2]}
    if LINKED[pair]:
        assert written == back == {canonical_smiles(LINKED[pair])}
    else:  # a double bond is kept on its side
        assert written == {"CC=COC"}


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        (("*C", "CCO"), "'CCO' has 0 marks: expected one"),
        (("*CC*", "*C"), r"'\*CC\*' has 2 marks: expected one"),
        (("*C", "c1cc"), "is no SMILES"),
        (("*C", "*C", 0), "count is 0: expected at least 1"),
    ],
)
def test_ends_that_cannot_be_linked_are_refused(pair, why):
    with pytest.raises(ValueError, match=why):
        linker_prompts(*pair)


def test_a_region_is_what_is_between_the_prompt_and_the_suffix():
    protein = "MKTAYIAKQR"
    for first, last in ((1, 3), (4, 4), (8, 10), (1, 10)):
        [row] = region_prompts(f">mine\n{protein.lower()}\n", first, last)
        assert row["prompt"] + protein[first - 1 : last] + row["suffix"] == protein
    for first, last in ((0, 3), (4, 3), (8, 11)):
        with pytest.raises(ValueError, match=f"region {first} to {last}: expected .* ≤ 10"):
            region_prompts(protein, first, last)
    with pytest.raises(ValueError, match="J"):
        region_prompts("MKTJ", 1, 2)


def test_spellings_are_those_of_the_seed():
    assert growth_prompts("c1ccncc1") == growth_prompts("c1ccncc1") != growth_prompts("c1ccncc1", seed=1)
    assert len({random_spelling("Cc1ccccc1OC(C)CN") for _ in range(9)}) == 1
