"""PMO's tasks: those that ask TDC's classifiers, here one in their place that says what it was shown, and the table of them all."""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem

from lobster.optimisation.oracle import asked

ROOT = Path(__file__).parents[3]
MOLECULES = ["CC(=O)Oc1ccccc1C(=O)O", "CN1CCC[C@H]1c1cccnc1", "O=C(NCc1ccccc1)c1ccc(F)cc1", "C"]
WEIGHTS = np.random.default_rng(0).random(2048)
CLASSIFIER = """
import numpy as np

class Classifier:
    def predict_proba(self, features):
        active = features @ np.random.default_rng(0).random(2048) / 1000
        return np.stack([1 - active, active], 1)
"""


@pytest.fixture(scope="module")
def pmo(benchmark_module):
    return benchmark_module("pmo")


@pytest.fixture
def tdc(tmp_path, monkeypatch):
    (tmp_path / "some_classifier.py").write_text(CLASSIFIER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    from some_classifier import Classifier

    for name in ("jnk3_current", "drd2"):
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(Classifier()))
    yield [sys.executable, str(tmp_path)]
    del sys.modules["some_classifier"]


def bits(smiles):
    return np.array(list(AllChem.GetMorganFingerprintAsBitVect(Chem.MolFromSmiles(smiles), 2, nBits=2048)))


def counts(smiles):
    row = np.zeros(2048)
    fingerprint = AllChem.GetMorganFingerprint(Chem.MolFromSmiles(smiles), 3, useCounts=True, useFeatures=True)
    for environment, count in fingerprint.GetNonzeroElements().items():
        row[environment % 2048] += count
    return row


@pytest.mark.parametrize(("task", "features"), [("jnk3", bits), ("drd2", counts)])
def test_a_classifier_is_shown_the_features_that_it_was_trained_on(pmo, tdc, task, features):
    RDLogger.DisableLog("rdApp.*")  # they are deprecated
    answers = list(asked(pmo.oracle(task, tdc))(MOLECULES))
    RDLogger.EnableLog("rdApp.*")
    assert [answer.error for answer in answers] == [""] * len(MOLECULES)
    expected = [features(smiles) @ WEIGHTS / 1000 for smiles in MOLECULES]
    assert [answer.value for answer in answers] == pytest.approx(expected, rel=1e-9)
    assert len(set(expected)) == len(MOLECULES)


def test_what_is_missing_is_said(pmo, tdc, tmp_path):
    (answer,) = asked(pmo.oracle("gsk3b", tdc))(["CCO"])
    assert "has no gsk3b_current.pkl" in answer.error


def test_the_table_that_is_shown_is_of_the_rows_that_were_measured(pmo):
    rows = [json.loads(line) for line in (ROOT / "benchmarks/pmo.jsonl").read_text().splitlines()]
    assert len({(row["task"], row["seed"]) for row in rows}) == len(rows)
    assert pmo.table(rows) in (ROOT / "docs/pmo.md").read_text()


def test_several_seeds_are_shown_by_mean_and_deviation(pmo):
    row = {"task": "qed", "top10": 0.9, "no_alerts": 0.5, "accessible": 1.0}
    table = pmo.table([row | {"seed": seed, "auc_top10": area} for seed, area in enumerate((0.93, 0.95))])
    assert "| qed | 0.941 | **0.942** | 0.940 ± 0.014 | 2 | 0.900 | 50 % | 100 % |" in table
