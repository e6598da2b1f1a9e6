"""Two processes come to the weights of one, where they are given the same completions: each with the whole policy, and in shards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

FSDP2 = Path(__file__).parents[3] / "examples" / "cluster" / "fsdp2.yaml"
SCRIPT = '''
import os, sys
from accelerate import PartialState
from accelerate.utils import DistributedType
from lobster.rl_training import train_ume_grpo

MOLECULES = ["C" * (1 + n % 5) + "NO"[n % 2] * (1 + n // 8) + "C" * (n % 3) for n in range(24)]
begin = PartialState.__init__

def begin_as_gpus(self, *args, **kwargs):
    """Let accelerate shard, which it does for processes with GPUs alone; torch's FSDP2 does on CPUs too."""
    begin(self, *args, **kwargs)
    if self.distributed_type is DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU

if "ACCELERATE_USE_FSDP" in os.environ:
    PartialState.__init__ = begin_as_gpus

class Rollout:
    """Writes the same molecules, however many processes share a batch."""

    written = 0

    def __call__(self, prompts, trainer):
        first = self.written + trainer.accelerator.process_index * len(prompts)
        self.written += trainer.accelerator.num_processes * len(prompts)
        ids = trainer.processing_class(MOLECULES[first : first + len(prompts)], add_special_tokens=False).input_ids
        end, begin = trainer.processing_class.eos_token_id, trainer.processing_class.bos_token_id
        return {"prompt_ids": [[begin]] * len(ids), "completion_ids": [row + [end] for row in ids], "logprobs": None}

policy, encoder, folder, processes = sys.argv[1:]
trainer = train_ume_grpo(
    policy, encoder, {"prompt": [""] * 8, "modality": ["SMILES"] * 8}, output_dir=folder, device="cpu", html_report=False,
    rollout_func=Rollout(), per_device_train_batch_size=8 // int(processes), num_generations=4, max_completion_length=16,
    max_steps=3, learning_rate=1e-2, save_strategy="no", disable_tqdm=True,
)
if trainer.is_world_process_zero():
    print(trainer.accelerator.distributed_type.value, trainer.accelerator.num_processes)
PartialState().destroy_process_group()
'''


@pytest.fixture(scope="module")
def trained(tiny_policy, tiny_ume, tmp_path_factory):
    """Train in so many processes; return what accelerate says that they are, and the weights."""
    root = tmp_path_factory.mktemp("processes")
    tiny_ume.save_pretrained(root / "ume")
    (root / "train.py").write_text(SCRIPT)

    def train(name: str, processes: int, **environment: str) -> tuple[list[str], dict[str, torch.Tensor]]:
        launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--master_port=0", "--standalone"]
        words = map(str, ["train.py", tiny_policy, root / "ume", root / name, processes])
        command = [sys.executable, *(launcher if processes > 1 else []), *words]
        known = os.environ | {"TRL_EXPERIMENTAL_SILENCE": "1"} | environment
        done = subprocess.run(command, cwd=root, env=known, capture_output=True, text=True, timeout=300)
        assert (root / name / "model.safetensors").is_file(), done.stderr  # gloo may abort at the very end
        return done.stdout.split()[-2:], load_file(root / name / "model.safetensors")

    return train


@pytest.fixture(scope="module")
def alone(trained):
    return trained("one", 1)[1]


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Return the largest difference between weights."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_two_processes_come_to_the_weights_of_one(trained, alone, tiny_policy):
    kind, found = trained("two", 2)
    assert kind == ["MULTI_CPU", "2"]
    assert apart(alone, found) < 1e-5
    assert apart(alone, load_file(tiny_policy / "model.safetensors")) > 1e-3


def test_two_shards_of_fsdp2_come_to_the_weights_of_one_process(trained, alone):
    settings = yaml.safe_load(FSDP2.read_text())["fsdp_config"]
    environment = {
        name.upper(): str(value).lower() if isinstance(value, bool) else str(value) for name, value in settings.items()
    }
    kind, found = trained("shards", 2, ACCELERATE_USE_FSDP="true", **environment)
    assert kind == ["FSDP", "2"]
    assert apart(alone, found) < 1e-5
