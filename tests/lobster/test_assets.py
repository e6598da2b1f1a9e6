"""The models that ship: small, offline, and as good as their cards say."""

import os
import subprocess
import sys

import pytest
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from lobster.constants import Modality
from lobster.evaluation import sample, smiles_metrics, ume_figures
from lobster.model import Ume
from lobster.model.checkpoints import assets

UME, POLICY = "ume-mini-base-12M", "smiles-policy-3M"


@pytest.mark.parametrize(("name", "most"), [(UME, 25e6), (POLICY, 10e6)])
def test_weights_are_small_and_in_float16(name, most):
    file = assets() / name / "model.safetensors"
    assert file.stat().st_size <= most
    with safe_open(file, "pt") as tensors:
        assert {tensors.get_slice(key).get_dtype() for key in tensors.keys()} == {"F16"}  # noqa: SIM118


@pytest.mark.parametrize("name", [UME, POLICY])
def test_each_has_a_card(name):
    card = (assets() / name / "README.md").read_text()
    for heading in ("## Training", "## Held-out figures", "## Data"):
        assert heading in card


def test_the_ume_loads_without_a_network():
    code = f"from lobster.model import Ume; print(Ume.from_pretrained({UME!r}, device='cpu').max_length)"
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1024"


def test_real_smiles_beat_corrupted_ones(held_out, shared):
    from lobster.pretraining.corpus import read_sequences

    ume = Ume.from_pretrained(UME, device="cpu")
    train = read_sequences(shared("data/smiles/train.txt.gz"))[:20000]
    figures = ume_figures(ume, Modality.SMILES, train, held_out(Modality.SMILES), count=150)
    swapped, replaced = figures.pairs
    assert swapped.won >= 0.92
    assert replaced.won > replaced.unigram_won
    assert figures.pseudo_perplexity < figures.unigram_perplexity


def test_the_policy_writes_valid_and_different_molecules():
    folder = assets() / POLICY
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    metrics = smiles_metrics(sample(model, AutoTokenizer.from_pretrained(folder), 400))
    assert metrics.validity >= 0.80
    assert metrics.uniqueness >= 0.99
