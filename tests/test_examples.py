"""The examples run as a user runs them."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from lobster.constants import Modality
from lobster.model import Ume, UmeConfig, UmeForMaskedLM
from lobster.scoring import ScoringFunction
from lobster.tokenization import make_tokenizer

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "examples" / "train_ume_grpo.py"
TINY = ["--max_steps", "2", "--per_device_train_batch_size", "8", "--num_generations", "8", "--learning_rate", "1e-3"]


def run(script: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "examples" / script, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)


def test_the_demo_shows_before_and_after(tmp_path):
    done = run("train_ume_grpo.py", "--samples", 24, *TINY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for row in ("validity", "uniqueness", "internal diversity", "mean pseudo-likelihood", "mean length"):
        assert row in done.stdout
    folder = tmp_path / "runs" / "demo"
    for name in ("summary.json", "samples.csv", "reward_curve.png", "best_molecules.png"):
        assert (folder / name).stat().st_size > 0
    assert len(list(csv.DictReader((folder / "samples.csv").open()))) == 48
    AutoModelForCausalLM.from_pretrained(folder)
    again = run("train_ume_grpo.py", "--samples", 2, *TINY, cwd=tmp_path)  # the demo overwrites its own folder
    assert again.returncode == 0, again.stderr
    other = run("train_ume_grpo.py", "--samples", 2, "--output_dir", "./runs/demo", *TINY, cwd=tmp_path)
    assert other.returncode == 1
    assert other.stderr.splitlines()[-1].startswith("error: runs/demo holds another run (checkpoint-2)")


def test_without_matplotlib_the_demo_says_so_before_it_begins(tmp_path):
    blocked = f"import runpy, sys; sys.modules['matplotlib'] = None; sys.argv = ['demo']; runpy.run_path({str(DEMO)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", blocked], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("matplotlib: pip install '.[demo]'")
    assert not done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("prompts.csv", "prompt,modality\n" + "C,SMILES\n" * 8),
        ("prompts.jsonl", '{"prompt": "C"}\n' * 8),
        ("prompts.txt", "C\n" * 8),
    ],
    ids=["csv", "jsonl", "txt"],
)
def test_your_own_prompts(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    done = run("train_ume_grpo.py", "--dataset", name, "--output_dir", "out", *TINY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    AutoModelForCausalLM.from_pretrained(tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "nowhere.csv"], "'nowhere.csv' does not exist"),
        (["--dataset", "empty.bin"], "expected a csv, json, jsonl, parquet or txt file"),
        (["--max_step", "3"], "'max_step': the nearest that exists is 'max_steps'"),
        (["--max_steps"], "has no value"),
        (
            ["--ume", "no-such-ume"],
            "not a model that ships (coding-policy-3M, protein-policy-3M, smiles-policy-3M, smiles-policy-7M, ume-mini-base-12M, ume-nano-base-3M)",
        ),
        (
            ["--model_path", "no-such-policy"],
            "not a model that ships (coding-policy-3M, protein-policy-3M, smiles-policy-3M, smiles-policy-7M, ume-mini-base-12M, ume-nano-base-3M)",
        ),
        (["--resume"], "no whole checkpoint"),
    ],
    ids=["no file", "no data set", "keyword", "no value", "no UME", "no policy", "nothing to resume"],
)
def test_a_mistake_gets_one_line(tmp_path, arguments, message):
    (tmp_path / "empty.bin").write_bytes(b"")
    done = run("train_ume_grpo.py", *arguments, "--samples", 2, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_ume_that_ships_passes_as_a_reward(tmp_path):
    done = run("test_ume_reward.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "PASS: 5 of 5 checks passed"


def test_an_untrained_ume_fails_as_a_reward(tmp_path):
    config = UmeConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    Ume(UmeForMaskedLM(config), {m: make_tokenizer(m) for m in Modality}).save_pretrained(tmp_path / "untrained")
    done = run("test_ume_reward.py", "--ume", "untrained", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("FAIL")


def test_the_scoring_file_scores():
    scoring = ScoringFunction.from_yaml(ROOT / "examples" / "scoring.yaml")
    amide, caffeine_salt = (
        scoring(smiles, Modality.SMILES, 0.6)
        for smiles in ("O=C(Nc1ccccc1)c1ccc(N2CCOCC2)cc1", "Cn1c(=O)c2c(ncn2C)n(C)c1=O.O=[N+]([O-])O")
    )
    assert amide.total > 0.4 > caffeine_salt.total
