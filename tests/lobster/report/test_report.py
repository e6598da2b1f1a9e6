"""What a run leaves behind."""

import csv
import json
import sys

import pytest
from PIL import Image

from lobster.cli.main import main
from lobster.optimisation import optimise
from lobster.report import comparison_table, score_samples, write_html_report, write_report
from lobster.report.sequence_views import can_draw
from lobster.rl_training import UmeRewardFunction, create_ume_grpo_trainer

HISTORY = [
    {"step": s, "reward": 0.1 * s, "ume_reward/valid": 0.9, "ume_reward/pseudo_likelihood": 0.3, "kl": 0.01 * s}
    for s in range(1, 6)
] + [{"step": 5, "train_runtime": 1.0}]


@pytest.fixture
def reward(tiny_ume) -> UmeRewardFunction:
    return UmeRewardFunction(tiny_ume)


def test_figures_of_samples(tiny_ume, reward):
    samples = score_samples(["CCO", "OCC", "c1ccccc1", "C1CC"], reward)
    summary = samples.summary()
    ethanol, benzene = tiny_ume.compute_pseudo_likelihood(["CCO", "c1ccccc1"], "SMILES")
    assert summary["count"] == 4
    assert summary["validity"] == 0.75
    assert summary["uniqueness"] == pytest.approx(2 / 3)
    assert summary["pseudo_likelihood"] == pytest.approx((2 * ethanol + benzene) / 3)
    assert reward.get_statistics()["count"] == 0  # a report does not count as training


def test_files_hold_what_they_say(reward, tmp_path):
    before, after = (score_samples(smiles, reward) for smiles in (["CCO", "C1CC"], ["CCN", "CCF"]))
    summary = write_report(tmp_path / "run", before, after, HISTORY, 12.34)
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary
    assert summary["after"]["validity"] == 1.0
    rows = list(csv.DictReader((tmp_path / "run" / "samples.csv").open()))
    assert [(r["policy"], r["smiles"], r["outcome"]) for r in rows] == [
        ("before", "CCO", "scored"),
        ("before", "C1CC", "unparsable"),
        ("after", "CCN", "scored"),
        ("after", "CCF", "scored"),
    ]
    assert float(rows[0]["score"]) == pytest.approx(before.scored[0].score, abs=1e-6)
    for name in ("reward_curve.png", "best_molecules.png"):
        with Image.open(tmp_path / "run" / name) as image:
            assert min(image.size) > 100
            assert len(image.convert("L").getcolors()) > 2


def test_nothing_valid_is_reported_without_an_error(reward, tmp_path):
    nothing = score_samples(["C1CC", ""], reward)
    summary = write_report(tmp_path, nothing, nothing, [], 1.0)
    assert summary["after"]["validity"] == 0.0
    assert summary["after"]["pseudo_likelihood"] is None
    assert "validity" in comparison_table(summary["before"], summary["after"])
    json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)  # NaN is no JSON


@pytest.fixture
def watched(tiny_policy, tiny_ume, tmp_path):
    """Train three steps, with two checkpoints, in view of a tracker."""

    def train(tracker: str) -> None:
        settings = {"per_device_train_batch_size": 4, "num_generations": 4, "max_completion_length": 8}
        settings |= {"max_steps": 3, "save_steps": 2, "disable_tqdm": True, "report_to": tracker}
        prompts = {"prompt": [""] * 4, "modality": ["SMILES"] * 4}
        create_ume_grpo_trainer(tiny_policy, tiny_ume, prompts, output_dir=tmp_path, **settings).train()

    return train


def test_tensorboard_gets_a_picture_of_the_best_molecules(watched, tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    watched("tensorboard")
    [folder] = {file.parent for file in tmp_path.rglob("events.out.tfevents.*")}
    events = event_accumulator.EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    assert [image.step for image in events.Images("best_molecules")] == [2, 3]
    assert events.Images("best_molecules")[0].width % 220 == 0


def test_wandb_gets_a_picture_of_the_best_molecules(watched, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    for name, value in {"MODE": "offline", "DIR": str(tmp_path), "SILENT": "true"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    watched("wandb")
    wandb.finish()
    pictures = list(tmp_path.glob("wandb/offline-run-*/files/media/images/best_molecules_*.png"))
    assert len(pictures) == 2
    assert Image.open(pictures[0]).width % 220 == 0


@pytest.fixture
def without_x11(monkeypatch):
    """Let RDKit's drawing fail as it does on a system without the libraries of X11."""
    monkeypatch.setitem(sys.modules, "rdkit.Chem.Draw", None)
    can_draw.cache_clear()
    yield
    can_draw.cache_clear()


def test_where_rdkit_cannot_draw_all_but_the_pictures_is_kept(without_x11, watched, tmp_path, capsys):
    with pytest.warns(UserWarning, match="apt-get install libxrender1"):
        watched("tensorboard")
    page = write_html_report(tmp_path)
    assert 'class="molecule"' not in page.read_text()
    optimise("qed", 30, "smiles-policy-3M", tmp_path / "found")
    assert {file.name for file in (tmp_path / "found").glob("*.p*")} == {"state.pt"}
    main(["doctor"])
    assert "RDKit cannot draw" in capsys.readouterr().out
