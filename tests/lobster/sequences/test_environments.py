"""Real molecules are taken for chemistry, and what edits of graphs make up is not."""

import random

import pytest
from rdkit import Chem
from rdkit.Chem.Descriptors import NumRadicalElectrons

from lobster.constants import Modality
from lobster.pretraining.__main__ import main
from lobster.sequences import environments, parse_smiles
from lobster.sequences.environments import neighbourhoods, real_neighbourhoods


def test_real_molecules_are_known(held_out):
    molecules = random.Random(0).sample(held_out(Modality.SMILES), 2000)
    known = [smiles for smiles in molecules if parse_smiles(smiles) and neighbourhoods(smiles) <= real_neighbourhoods()]
    assert len(known) > 0.92 * len(molecules)


@pytest.mark.parametrize(
    "smiles",
    [
        *("C1=CC#CC=C1", "CN(C)F", "CNCl", "COOC", "CSF", "CCOOCC", "CC(=O)OF", "C=C=N", "FC(F)(F)N(F)C"),
        *("CC(O)(N)C", "CC(O)NC", "OC(O)C", "NN(N)N", "CN(C)N(C)N(C)C", "c1ccccc1N(O)O", "SSSSC"),
        *("CC1=CC1C", "C1NN1", "CC1C(=O)N1C", "C1CC2=CC1CC2"),
        *("c1cc2cc(c1)-c1ccccc1-2", "c1ccc2c(c1)-c1cc-2ccc1", "c1cc2cc(c1)CC2", "c1cc2cc(n1)CC2", "c1cc2ccc1CC2"),
    ],
)
def test_what_is_not_made_is_not_known(smiles):
    assert not neighbourhoods(smiles) <= real_neighbourhoods()


def test_radicals_are_not_known(held_out):
    draw, radicals = random.Random(0), []
    for smiles in draw.sample(held_out(Modality.SMILES), 500):
        mol = Chem.RWMol(parse_smiles(smiles))
        if atoms := [atom for atom in mol.GetAtoms() if atom.GetTotalNumHs() and not atom.GetIsAromatic()]:
            atom = draw.choice(atoms)
            atom.SetNumExplicitHs(atom.GetTotalNumHs() - 1)
            atom.SetNoImplicit(True)
            radical = Chem.MolToSmiles(mol)
            radicals += [radical] if parse_smiles(radical) and NumRadicalElectrons(parse_smiles(radical)) else []
    assert len(radicals) > 300
    assert not [smiles for smiles in radicals if neighbourhoods(smiles) <= real_neighbourhoods()]


def test_the_environments_of_a_corpus_are_printed(tmp_path, capsys):
    file = tmp_path / "molecules.smi"
    file.write_text("CCO\nno molecule\n" * 2 + "CC[Te]C\n")
    main(["neighbourhoods", str(file)])
    assert {int(line) for line in capsys.readouterr().out.split()} == neighbourhoods("CCO")


def test_an_rdkit_that_numbers_them_otherwise_is_told(monkeypatch):
    monkeypatch.setattr(environments, "_invariants", lambda mol, rings: [7] * mol.GetNumAtoms())
    with pytest.raises(RuntimeError, match="numbers atom environments otherwise"):
        real_neighbourhoods.__wrapped__()
