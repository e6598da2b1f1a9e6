"""The models that ship: small, offline, and as good as their cards say."""

import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from lobster.constants import Modality
from lobster.evaluation import sample
from lobster.evaluation.corruption import swap_tokens
from lobster.evaluation.policies import is_protein
from lobster.model import Ume
from lobster.model.checkpoints import assets
from lobster.scoring.biopolymers import open_reading_frame
from lobster.sequences import canonical_smiles

LARGEST = {"ume-nano-base-3M": 7e6, "ume-mini-base-12M": 25e6, "smiles-policy-7M": 14e6}  # bytes; of the others 10e6
UMES = ["ume-nano-base-3M", "ume-mini-base-12M"]
GOOD = {
    "smiles-policy-3M": canonical_smiles,
    "smiles-policy-7M": canonical_smiles,
    "protein-policy-3M": is_protein,
    "coding-policy-3M": open_reading_frame,
}
LEAST = {"smiles-policy-3M": 0.88, "smiles-policy-7M": 0.9, "protein-policy-3M": 0.95, "coding-policy-3M": 0.8}
POLICIES = list(GOOD)


@pytest.mark.parametrize("name", [*UMES, *POLICIES])
def test_weights_are_small_and_in_float16(name):
    file = assets() / name / "model.safetensors"
    assert file.stat().st_size <= LARGEST.get(name, 10e6)
    with safe_open(file, "pt") as tensors:
        assert {tensors.get_slice(key).get_dtype() for key in tensors.keys()} == {"F16"}  # noqa: SIM118


@pytest.mark.parametrize("name", [*UMES, *POLICIES])
def test_each_has_a_card(name):
    card = (assets() / name / "README.md").read_text()
    for heading in ("## Training", "## Held-out figures", "## Data"):
        assert heading in card


@pytest.mark.parametrize("name", UMES)
def test_the_ume_loads_without_a_network(name):
    code = f"from lobster.model import Ume; print(Ume.from_pretrained({name!r}, device='cpu').max_length)"
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1024"


@pytest.mark.parametrize("name", UMES)
def test_real_smiles_beat_corrupted_ones(name, held_out):
    ume, rng = Ume.from_pretrained(name, device="cpu"), np.random.default_rng(0)
    pairs = [(s, c) for s in held_out(Modality.SMILES)[:150] if (c := canonical_smiles(swap_tokens(s, rng) or ""))]
    real, corrupted = (ume.compute_pseudo_likelihood(side, "SMILES") for side in zip(*pairs, strict=True))
    assert np.mean(np.array(real) > np.array(corrupted)) >= 0.92


@pytest.mark.parametrize("name", POLICIES)
def test_the_policies_write_what_they_should(name):
    folder = assets() / name
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    samples = sample(model, tokenizer, 300, max_new_tokens=model.config.max_position_embeddings - 1)
    ended = [
        len(ids) <= tokenizer.model_max_length - 2 for ids in tokenizer(samples, add_special_tokens=False).input_ids
    ]
    assert np.mean(ended) >= 0.95
    assert len(set(samples)) >= 0.98 * len(samples)
    assert np.mean([bool(GOOD[name](s)) for s in samples]) >= LEAST[name]
