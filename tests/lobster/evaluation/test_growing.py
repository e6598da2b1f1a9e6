"""Growing and filling in, by a tiny policy that writes chains."""

import pytest
from rdkit import Chem

from lobster.evaluation import fill_in, grow
from lobster.model.policies import load_policy
from lobster.prompts import linker_prompts
from lobster.sequences import canonical_smiles

SHORT = {"max_new_tokens": 8}


@pytest.fixture(scope="module")
def policy(tiny_policy):
    return load_policy(tiny_policy)


def grown_from(fragment: str, smiles: str) -> bool:
    """Say whether a molecule is a fragment with anything, a hydrogen too, at its marks, and its own hydrogens elsewhere."""
    core, mol = (Chem.AddHs(Chem.MolFromSmiles(text)) for text in (fragment, smiles))
    parameters = Chem.AdjustQueryParameters.NoAdjustments()
    parameters.makeDummiesQueries = True
    return mol.HasSubstructMatch(Chem.AdjustQueryProperties(core, parameters), useChirality=True)


@pytest.mark.parametrize(
    "fragment", ["*c1ccncc1", "[*:1]c1ccc([2*])nc1", "*C(=O)N(*)CC#*", "*CC[C@](C)(F)c1cn(*)cc1Cl"]
)
def test_a_fragment_grows_at_each_mark_and_nowhere_else(policy, fragment):
    written = grow(*policy, fragment, 30, **SHORT)
    found = [smiles for smiles in map(canonical_smiles, written) if smiles]
    assert len(written) == 30
    assert len(set(found)) > 8
    bare = Chem.MolToSmiles(Chem.MolFromSmiles(fragment.replace("[*:1]", "*").replace("[2*]", "*")))
    assert all(grown_from(bare, smiles) for smiles in found)


def test_a_fragment_without_marks_grows_at_an_atom_that_has_a_hydrogen(policy):
    found = {canonical_smiles(text) for text in grow(*policy, "c1cc[nH]c1", 40, **SHORT)} - {None}
    places = ("*c1ccc[nH]1", "*c1cc[nH]c1", "*n1cccc1")
    assert all(any(grown_from(place, smiles) for place in places) for smiles in found)
    assert all(any(grown_from(place, smiles) for smiles in found) for place in places)


def test_growing_is_that_of_the_seed(policy):
    first, again, other = (grow(*policy, "*c1ccc(*)nc1", 6, seed=seed, **SHORT) for seed in (3, 3, 4))
    assert first == again != other


def test_linked_molecules_have_both_ends(policy):
    rows = linker_prompts("*c1ccncc1", "*C1CCNCC1", count=6)
    written = fill_in(*policy, rows, 24, **SHORT)
    linked = [Chem.MolFromSmiles(text) for text in written]
    assert all(mol.HasSubstructMatch(Chem.MolFromSmarts(s)) for mol in linked for s in ("c1ccncc1", "C1CCNCC1"))
    assert all(text.startswith(rows[n % 6]["prompt"]) for n, text in enumerate(written))
    assert len(set(map(canonical_smiles, written))) > 12
