from random import Random

import pytest
from rdkit import Chem

from lobster.constants import Modality
from lobster.optimisation import genetic
from lobster.optimisation.genetic import offspring
from lobster.sequences import canonical_smiles, parse_smiles

DRUGS = [
    canonical_smiles(text)
    for text in (
        "CC(=O)Oc1ccccc1C(=O)O",
        "CN1CCC[C@H]1c1cccnc1",
        "CC1=CC=C(C=C1)C1=CC(=NN1C1=CC=C(C=C1)S(N)(=O)=O)C(F)(F)F",
        "C[N+](C)(C)CCO",
        "O=[N+]([O-])c1ccc[nH]1",
    )
]


@pytest.mark.parametrize("parents", ["one", "two"])
def test_children_are_molecules_in_their_normal_form(parents):
    random, children = Random(0), []
    for _ in range(300):
        mother, father = random.sample(DRUGS, 2)
        children.append(offspring(mother, mother if parents == "one" else father, random))
    made = [child for child in children if child]
    assert len(made) > 150
    assert all(canonical_smiles(child) == child for child in made)
    assert len({*made} - {*DRUGS}) > 100


def test_children_are_the_same_again_with_the_same_random_numbers():
    assert [offspring(DRUGS[0], DRUGS[2], Random(seed)) for seed in range(20)] == [
        offspring(DRUGS[0], DRUGS[2], Random(seed)) for seed in range(20)
    ]


def test_parents_of_one_atom_and_without_rings_do_no_harm():
    random = Random(0)
    children = [
        offspring(mother, father, random) for mother in ("C", "CC", "[Na+]", "CCO") for father in ("C", "C=C", "CCO")
    ]
    assert all(child is None or canonical_smiles(child) == child for child in children)


def test_every_edit_makes_molecules():
    for edit, _ in genetic._EDITS:
        random = Random(0)
        children = []
        for _ in range(100):
            try:
                children.append(genetic._finished(edit(Chem.RWMol(genetic.editable(DRUGS[2])), random)))
            except ValueError:  # a valence that is not allowed
                children.append(None)
        assert len({child for child in children if child and child != DRUGS[2]}) >= 2, edit.__name__


def test_rings_are_of_a_size_that_is_common(held_out):
    random, children = Random(0), []
    molecules = [smiles for smiles in held_out(Modality.SMILES)[:200] if "." not in smiles]
    for _ in range(300):
        children.append(offspring(*random.sample(molecules, 2), random))
    rings = [parse_smiles(child).GetRingInfo().AtomRings() for child in children if child]
    assert max(len(ring) for some in rings for ring in some) <= genetic.MAX_RING
