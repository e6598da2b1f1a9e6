"""The files and commands of examples/cluster, as the classes read them that will: nothing here runs them."""

import os
import re
import runpy
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from accelerate.utils import DistributedType
from torch.distributed.run import get_args_parser
from trl import GRPOConfig
from trl.experimental.async_grpo import AsyncGRPOConfig
from trl.scripts.vllm_serve import ScriptArguments, build_command

from lobster.cli.main import verb_module
from lobster.grpo_command.arguments import parse_run, run_parser

ROOT = Path(__file__).parents[1]
CLUSTER = ROOT / "examples" / "cluster"
COMMANDS = [
    shlex.split(line, comments=True)
    for page in (CLUSTER / "README.md", ROOT / "docs" / "cluster.md")
    for block in re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]


def commands(*words: str) -> list[list[str]]:
    """Return what stands behind some words in all commands, environment variables left out."""
    found = [[word for word in command if not re.match(r"[A-Z_]+=", word)] for command in COMMANDS]
    begun = [command[len(words) :] for command in found if tuple(command[: len(words)]) == words]
    assert begun, f"no command begins with {words}"
    return [command[:-1] if command[-1] == "&" else command for command in begun]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ddp", DistributedType.MULTI_GPU),
        ("fsdp2", DistributedType.FSDP),
        ("zero2", DistributedType.DEEPSPEED),
        ("zero3", DistributedType.DEEPSPEED),
    ],
)
def test_accelerate_knows_every_key(name, kind):
    config = load_config_from_file(str(CLUSTER / f"{name}.yaml"))
    assert config.distributed_type == kind
    known = vars(launch_command_parser().parse_args(["script.py"]))
    assert {*config.fsdp_config, *config.deepspeed_config} <= known.keys()
    assert config.deepspeed_config.get("zero_stage", 0) == {"zero2": 2, "zero3": 3}.get(name, 0)


@pytest.mark.parametrize("name", ["vllm_server", "vllm_colocate"])
def test_grpo_knows_every_argument_of_a_run(name):
    given = parse_run(run_parser("lobster grpo", "", ""), ["--config", str(CLUSTER / f"{name}.yaml")])
    of_trl = {key: value for key, value in given.items() if key in {field.name for field in fields(GRPOConfig)}}
    config = GRPOConfig(**of_trl, use_cpu=True, bf16=False)
    assert config.use_vllm
    assert f"vllm_{config.vllm_mode}" == name


def test_async_grpo_knows_every_setting():
    settings = runpy.run_path(str(CLUSTER / "async_grpo.py"))["SETTINGS"]
    assert AsyncGRPOConfig("out", **settings, use_cpu=True, bf16=False).num_generations == settings["num_generations"]


def test_the_launchers_take_the_commands(monkeypatch):
    monkeypatch.chdir(ROOT)
    for words in commands("accelerate", "launch"):
        asked = launch_command_parser().parse_args(words)
        assert os.path.isfile(asked.config_file)
        assert (asked.module, asked.training_script, asked.training_script_args[0]) == (True, "lobster", "grpo")
        config = asked.training_script_args[-1]
        assert config == "run.yaml" or os.path.isfile(config)
    for words in commands("torchrun"):
        assert get_args_parser().parse_args(words).training_script == "lobster"
    for words in commands("lobster", "serve"):
        verb_module("serve").parser().parse_args(words)
    for words in commands("vllm", "serve"):
        expected = build_command(ScriptArguments(words[0]))
        assert {*words[3:]} <= {*expected}
        assert {*expected[expected.index("--weight-transfer-config") :]} <= {*words}
