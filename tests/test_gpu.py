"""What a GPU does differently; skipped where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lobster.model import Ume
from lobster.optimisation import optimise
from lobster.rl_training import UmeRewardFunction
from lobster.scoring.molecules import qed

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")

CLUSTER = Path(__file__).parents[1] / "examples" / "cluster"
SEQUENCES = {
    "SMILES": ["CC(=O)Oc1ccccc1C(=O)O", "CN1CCC[C@H]1c1cccnc1", "O=C(O)CCc1ccc(Cl)cc1", "C1CC"],
    "amino_acid": ["MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEK", "MSTNPKPQRKTKRNTNRRPQDVKFPGG"],
    "nucleotide": ["ATGGCTAGCAAAGGAGAAGAACTTTTCACTGGAGTTGTC", "ATGAAACGCATTAGCACCACCATTACC"],
}
GRPO = "--model_name_or_path smiles-policy-3M --encoder ume-nano-base-3M --modality SMILES --max_completion_length 60"
GRPO += " --per_device_train_batch_size 16 --num_generations 16 --learning_rate 1e-4 --max_steps 4 --save_steps 2"


@pytest.mark.parametrize("name", ["ume-nano-base-3M", "ume-mini-base-12M"])
def test_rewards_are_those_of_the_cpu(name):
    there, here = (UmeRewardFunction(Ume.from_pretrained(name, device=device)) for device in ("cuda", "cpu"))
    for sequences in SEQUENCES.values():
        assert there(sequences) == pytest.approx(here(sequences), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("name", ["", "ddp", "fsdp2", "zero2", "zero3"])
def test_a_run_goes_on_where_it_was_stopped(name, tmp_path):
    if name.startswith("zero"):
        pytest.importorskip("deepspeed")
    config = f"--config_file {CLUSTER / name}.yaml --num_processes {torch.cuda.device_count()} --main_process_port 0"
    launcher = f"-m accelerate.commands.launch {config}".split() if name else []
    command = [sys.executable, *launcher, "-m", "lobster", "grpo", *GRPO.split(), "--output_dir"]

    def train(folder: str, *more: str) -> dict[str, torch.Tensor]:
        done = subprocess.run(
            [*command, str(tmp_path / folder), *more], env=os.environ, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return load_file(tmp_path / folder / "model.safetensors")

    whole = train("run")
    shutil.rmtree(tmp_path / "run" / "checkpoint-4")
    resumed = train("run", "--resume")
    assert max((whole[key].float() - resumed[key].float()).abs().max().item() for key in whole) < 1e-6


def test_a_search_is_drawn_from_its_seed_and_goes_on(tmp_path):
    def search(budget: int, folder: str, **more):
        return optimise(qed, budget, "smiles-policy-3M", tmp_path / folder, device="cuda", **more)

    whole = search(100, "whole").molecules
    assert search(100, "again").molecules == whole

    def stop(result):
        if len(result.scores) > 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(100, "stopped", on_round=stop)
    assert search(100, "stopped", resume=True).molecules == whole
