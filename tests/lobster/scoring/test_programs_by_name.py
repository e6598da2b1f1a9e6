"""Docking, ADMET and folding: components that are named, and that need an extra or a model."""

from pathlib import Path

import pytest
import torch
from transformers import EsmConfig, EsmForProteinFolding

from lobster.constants import Modality
from lobster.scoring import Component, ScoringError, ScoringFunction

EXAMPLES = Path(__file__).parents[3] / "examples"
RECEPTOR = EXAMPLES / "docking" / "receptor.pdbqt"
BOX = {"center": [-0.4, -0.1, -0.2], "size": [8, 8, 8], "exhaustiveness": 1}
DOWN = {"kind": "linear", "low": 0, "high": -10}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def tiny_esmfold(tmp_path) -> str:
    """A folder with an ESMFold of random weights, with one block of each kind."""
    structure = {"sequence_dim": 16, "pairwise_dim": 8, "ipa_dim": 4, "resnet_dim": 8, "num_heads_ipa": 2}
    structure |= {"num_qk_points": 2, "num_v_points": 2, "num_blocks": 1}
    trunk = {"num_blocks": 1, "sequence_state_dim": 32, "pairwise_state_dim": 16, "sequence_head_width": 16}
    trunk |= {"pairwise_head_width": 8, "max_recycles": 1, "structure_module": structure}
    config = EsmConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        position_embedding_type="rotary",
        token_dropout=True,
        is_folding_model=True,
        vocab_size=33,
        mask_token_id=32,
        pad_token_id=1,
        esmfold_config={"fp16_esm": True, "lddt_head_hid_dim": 8, "trunk": trunk},
    )
    torch.manual_seed(0)
    model = EsmForProteinFolding(config)
    with torch.no_grad():
        for parameter in model.lddt_head.parameters():
            parameter.normal_()  # so that proteins differ
    model.save_pretrained(tmp_path / "esmfold")
    return str(tmp_path / "esmfold")


def test_a_protein_is_worth_how_sure_its_fold_is(tiny_esmfold):
    scoring = ScoringFunction([Component("plddt", model=tiny_esmfold, device="cpu", chunk_size=4, cache=False)])
    assert scoring.score(["CCO"], Modality.SMILES) is None
    first, second = scoring.score(["MKTAYIAKQR", "WWWWWW"], Modality.AMINO_ACID)
    assert not scoring.failures, first.errors
    model = EsmForProteinFolding.from_pretrained(tiny_esmfold).eval().float()
    folded = model.infer("MKTAYIAKQR")
    expected = (folded.plddt * folded.atom37_atom_exists).sum() / folded.atom37_atom_exists.sum()
    assert first.total == pytest.approx(expected.item(), abs=1e-5)
    assert 0 < first.total < 1
    assert first.total != second.total


def test_a_model_that_is_not_there_is_the_failure_of_each_protein(tmp_path):
    component = Component("plddt", model=str(tmp_path), cache=False)
    assert all(one.error.startswith("OSError") for one in component.measure(["MKT", "MKV"], Modality.AMINO_ACID))


def test_docking_in_the_toy_receptor(tmp_path):
    pytest.importorskip("vina", reason="the extra docking is not installed")
    component = {"kind": "docking", "receptor": str(RECEPTOR), "timeout": 300, "transform": DOWN, **BOX}
    values = []
    for _ in range(2):  # of two runs, the second of which asks nobody
        scoring = ScoringFunction([component | {"cache": str(tmp_path / "values.sqlite")}])
        with pytest.warns(UserWarning, match="'docking' failed on 'C.O'"):
            formamide, methane, salt = scoring.score(["NC=O", "C", "C.O"], Modality.SMILES)
        values.append((formamide.values["docking"], methane.values["docking"]))
    assert values[0][0] < values[0][1] < 0
    assert values[0] == values[1]
    assert salt.errors == {"docking": "ValueError: it is of several parts, expected one molecule"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"receptor": "nowhere.pdbqt"}, "docking: there is no receptor 'nowhere.pdbqt': expected a PDBQT file"),
        ({"center": [1, 2]}, r"docking: center is \[1, 2\], expected three numbers in Å"),
        ({"size": [20, 20, 0]}, r"docking: size is \[20, 20, 0\], expected numbers above 0"),
        ({"transform": None}, "docking: its values do not lie in .0, 1., it needs a transform"),
        ({"centre": [1, 2, 3]}, "docking: key 'centre' is unknown: the nearest that exists is 'center'"),
    ],
)
def test_a_wrong_box_is_explained(parameters, message):
    pytest.importorskip("vina", reason="the extra docking is not installed")
    with pytest.raises(ScoringError, match=message):
        Component(**({"kind": "docking", "receptor": RECEPTOR, "transform": DOWN, **BOX} | parameters))


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("docking", {"receptor": RECEPTOR, "transform": DOWN, **BOX}), ("admet", {"property": "hERG"})],
)
def test_an_extra_that_is_missing_is_named(monkeypatch, kind, parameters):
    monkeypatch.setattr("lobster.workers.docking.find_spec", lambda name: None)
    monkeypatch.setattr("lobster.scoring.admet.find_spec", lambda name: None)
    with pytest.raises(ScoringError, match=rf"^{kind}: {kind} needs .*: pip install 'lobster-rl\[{kind}\]'$"):
        Component(kind, **parameters)


def test_admet_predicts_properties():
    pytest.importorskip("admet_ai", reason="the extra admet is not installed")
    scoring = ScoringFunction(
        [
            Component("admet", "herg", property="hERG", transform={"kind": "linear", "low": 1, "high": 0}, cache=False),
            Component("admet", "penetration", property="BBB_Martins", cache=False),
        ]
    )
    aspirin, ethanol = scoring.score(["CC(=O)Oc1ccccc1C(=O)O", "CCO"], Modality.SMILES)
    assert not scoring.failures, aspirin.errors
    assert ethanol.parts["penetration"] > aspirin.parts["penetration"]
    [unknown] = Component("admet", property="hERGs", cache=False).measure(["CCO"], Modality.SMILES)
    assert "property 'hERGs' is unknown: expected one of" in unknown.error


@pytest.mark.parametrize("example", ["docking", "oracle_server"])
def test_the_examples_can_be_read(example, monkeypatch):
    if example == "docking":
        pytest.importorskip("vina", reason="the extra docking is not installed")
    monkeypatch.chdir(EXAMPLES.parent)
    assert len(ScoringFunction.from_yaml(EXAMPLES / example / "scoring.yaml").components) == 3
