"""MolScore's configurations as components, where the package is installed: ``pip install 'lobster-rl[molscore]'``."""

import json
from importlib.util import find_spec

import pytest
from rdkit import Chem
from rdkit.Chem import Descriptors

from lobster.constants import Modality
from lobster.optimisation import optimise
from lobster.scoring import Component, ScoringError, ScoringFunction
from lobster.scoring.molecules import qed

MOLECULES = ["CCO", "CC(=O)Oc1ccccc1C(=O)O", "CC(C)Cc1ccc(C(C)C(=O)O)cc1"]
installed = pytest.mark.skipif(find_spec("molscore") is None, reason="the extra molscore is not installed")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def config(tmp_path):
    """Write a configuration: QED and a weight of at most 200 g/mol, with a diversity filter."""

    def write(function="RDKitDescriptors", method="gmean", most=200):
        light = {"objective": "minimize", "upper": 0, "lower": most, "buffer": 100}
        metrics = [{"name": "desc_QED", "weight": 1, "modifier": "raw", "parameters": {}}]
        metrics += [{"name": "desc_MolWt", "weight": 1, "modifier": "lin_thresh", "parameters": light}]
        described = {
            "task": "light",
            "output_dir": "out",
            "load_from_previous": False,
            "logging": False,
            "monitor_app": False,
            "diversity_filter": {"run": True, "name": "Unique", "parameters": {}},
            "scoring_functions": [{"name": function, "run": True, "parameters": {"prefix": "desc"}}],
            "scoring": {"method": method, "metrics": metrics},
        }
        (tmp_path / "light.json").write_text(json.dumps(described))
        return str(tmp_path / "light.json")

    return write


def light(smiles, most=200):
    weight = Descriptors.MolWt(Chem.MolFromSmiles(smiles))
    return (qed(smiles) * min(1, max(1e-6, (most + 100 - weight) / 100))) ** 0.5


@installed
def test_a_configuration_is_a_component_of_a_score(config, tmp_path):
    scoring = ScoringFunction([{"kind": "molscore", "config": config(), "cache": False}])
    expected = [light(smiles) for smiles in MOLECULES]
    for molecules, values in (
        (MOLECULES, expected),
        (MOLECULES[::-1] * 2, expected[::-1] * 2),
        (["CCO"], expected[:1]),
    ):
        totals = [score.total for score in scoring.score(molecules, Modality.SMILES)]
        assert totals == pytest.approx(values, abs=1e-6)
    assert all(0 < value < 1 for value in expected)
    config(most=100)
    assert scoring.score(["CCCCCCC"], Modality.SMILES)[0].total == pytest.approx(light("CCCCCCC", 100), abs=1e-6)
    assert not (tmp_path / "out").exists()


@installed
def test_its_own_folder_and_workers(config, tmp_path):
    component = Component("molscore", config=config(), output_dir=str(tmp_path / "written"), workers=2)
    values = [measured.value for measured in component.measure(MOLECULES, Modality.SMILES)]
    assert values == pytest.approx([light(smiles) for smiles in MOLECULES], abs=1e-6)
    assert [*(tmp_path / "written").glob("*_lobster*_light/light_config.json")]


@installed
def test_a_task_of_a_benchmark_is_an_oracle(tiny_policy):
    result = optimise({"components": [{"kind": "molscore", "config": "MolOpt:QED"}]}, 20, tiny_policy, device="cpu")
    assert result.scores == pytest.approx([qed(smiles) for smiles in result.molecules], abs=1e-6)


@installed
@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"function": "RDKitDescriptor"}, "MolScore has no RDKitDescriptor here"),
        ({"method": "pareto_front"}, "pareto_front scores a molecule by those beside it: expected one of single"),
        ({"method": "mean"}, "MolScore cannot use .*light.json: AssertionError: No aggregation methods"),
    ],
)
def test_what_it_cannot_score_by_itself_is_refused(config, described, message):
    with pytest.raises(ScoringError, match=message):
        Component("molscore", config=config(**described))


@installed
def test_a_task_that_there_is_not_is_refused():
    with pytest.raises(
        ScoringError, match="cannot use GuacaMol:Aspirin: AssertionError: Preset task Aspirin not found"
    ):
        Component("molscore", config="GuacaMol:Aspirin")


@pytest.mark.skipif(find_spec("molscore") is not None, reason="the extra molscore is installed")
def test_without_the_package_it_says_what_to_install():
    with pytest.raises(ScoringError, match="molscore is not installed: pip install 'lobster-rl\\[molscore\\]'"):
        Component("molscore", config="MolOpt:QED")
