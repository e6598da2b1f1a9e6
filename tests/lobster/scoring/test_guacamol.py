"""Our objectives against the package that defines them, where it is installed: ``pip install --no-deps guacamol fcd``."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem.Pharm2D import Generate, Gobbi_Pharm2D

from lobster.constants import Modality
from lobster.scoring import guacamol
from lobster.scoring.guacamol import OBJECTIVES


@pytest.fixture(scope="module")
def benchmarks():
    pytest.importorskip("guacamol")
    pytest.importorskip("fcd")  # which it imports
    import scipy

    scipy.histogram = np.histogram  # it imports a name that SciPy no longer has, for a part that is not used here
    from guacamol import standard_benchmarks

    return standard_benchmarks


def published(benchmarks, name):
    by_function = {
        "amlodipine_mpo": benchmarks.amlodipine_rings,
        "deco_hop": benchmarks.decoration_hop,
        "fexofenadine_mpo": benchmarks.hard_fexofenadine,
        "isomers_c7h8n2o2": benchmarks.isomers_c7h8n2o2,
        "isomers_c9h10n2o2pf2cl": benchmarks.isomers_c9h10n2o2pf2cl,
        "median1": benchmarks.median_camphor_menthol,
        "median2": benchmarks.median_tadalafil_sildenafil,
        "osimertinib_mpo": benchmarks.hard_osimertinib,
        "perindopril_mpo": benchmarks.perindopril_rings,
        "qed": benchmarks.qed_benchmark,
        "ranolazine_mpo": benchmarks.ranolazine_mpo,
        "scaffold_hop": benchmarks.scaffold_hop,
        "sitagliptin_mpo": benchmarks.sitagliptin_replacement,
        "valsartan_smarts": benchmarks.valsartan_smarts,
        "zaleplon_mpo": benchmarks.zaleplon_with_other_formula,
    }
    if name in by_function:
        return by_function[name]().objective
    target, fingerprint, full = {
        "albuterol_similarity": (guacamol._ALBUTEROL, "FCFP4", 0.75),
        "celecoxib_rediscovery": (guacamol._CELECOXIB, "ECFP4", 1.0),
        "mestranol_similarity": (guacamol._MESTRANOL, "AP", 0.75),
        "thiothixene_rediscovery": (guacamol._THIOTHIXENE, "ECFP4", 1.0),
        "troglitazone_rediscovery": (guacamol._TROGLITAZONE, "ECFP4", 1.0),
    }[name]
    return benchmarks.similarity(target, name, fingerprint, full).objective


@pytest.mark.parametrize("name", OBJECTIVES)
def test_agrees_with_the_package(benchmarks, held_out, name):
    slow = name.endswith("_hop")  # 30 ms a molecule in the package
    molecules = held_out(Modality.SMILES)[: 100 if slow else 1000]
    expected = published(benchmarks, name).score_list(molecules)
    np.testing.assert_allclose([OBJECTIVES[name](smiles) for smiles in molecules], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "molecule",
    [
        guacamol._HOP,
        guacamol._TADALAFIL,
        "C",
        "CC(=O)[O-].[Na+]",
        "N[C@@H](CC(=O)O)C(=O)O",
        "Cl[Pt](Cl)(N)N",
        "C[Si](C)(C)c1ccncc1",
        "CCCCC(CC)NCCOCCSCCNC(=O)CCCF",
        "NCC" + "C" * 97 + "CO",
        "NCC" + "C" * 98 + "CO",
        "OC(=O)c1ccc2c(c1)C1CC2CN1CCNc1ccnc(N)n1",
    ],
)
def test_pharmacophores_are_those_of_rdkit(molecule):
    mol = Chem.MolFromSmiles(molecule)
    expected = Generate.Gen2DFingerprint(mol, Gobbi_Pharm2D.factory)
    assert list(guacamol._pharmacophores(mol).GetOnBits()) == list(expected.GetOnBits())


@pytest.mark.parametrize(
    ("name", "molecule"),
    [
        ("celecoxib_rediscovery", guacamol._CELECOXIB),
        ("albuterol_similarity", guacamol._ALBUTEROL),
        ("isomers_c7h8n2o2", "COc1cc(C(N)=O)ccn1"),
        ("mestranol_similarity", guacamol._MESTRANOL),
    ],
)
def test_the_target_is_the_maximum(name, molecule):
    assert OBJECTIVES[name](molecule) == 1.0
    assert OBJECTIVES[name]("CCCCCC") < 0.3


def test_valsartan_smarts_needs_its_substructure():
    assert OBJECTIVES["valsartan_smarts"]("CCO") == 0
    assert OBJECTIVES["valsartan_smarts"]("CCCN(C=O)Cc1ccc(-c2ccccc2)cc1") > 0
