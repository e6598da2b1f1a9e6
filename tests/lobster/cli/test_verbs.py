"""The verbs do what their library functions do, with small real models."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
import yaml
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from lobster.cli.main import main
from lobster.constants import Modality
from lobster.resume import checkpoints
from lobster.rl_training.trainers import BETA
from lobster.runs.folder import read_completions, read_description
from lobster.sequences import canonical_smiles
from lobster.shipped import example_runs


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def ume_folder(tiny_ume, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ume")
    tiny_ume.save_pretrained(folder)
    return str(folder)


def test_score_writes_a_table_and_says_what_became_of_it(here, ume_folder, capsys):
    pd.DataFrame({"id": [1, 2], "smiles": ["CCO", "C1CC"]}).to_csv("in.csv", index=False)
    words = ["score", "in.csv", "--column", "smiles", "--encoder", ume_folder, "--output", "out.parquet"]
    assert main(words) == 0
    assert capsys.readouterr().out == "out.parquet: 1 scored, 1 undetectable\n"
    assert pd.read_parquet("out.parquet").outcome.tolist() == ["scored", "undetectable"]
    assert main(words) == 1
    assert main([*words, "--overwrite", "--scoring", "qed"]) == 0
    assert pd.read_parquet("out.parquet").qed[0] == pytest.approx(0.4068, abs=1e-3)


def test_a_killed_score_goes_on_and_has_each_line_once(here, ume_folder):
    (here / "in.smi").write_text("".join(f"{'C' * (n % 60 + 1)}O line{n}\n" for n in range(3000)))
    command = [
        sys.executable,
        "-m",
        "lobster",
        "score",
        "in.smi",
        "--encoder",
        ume_folder,
        "--scoring",
        "pseudo_likelihood",
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not (here / "scores.csv").is_file() or (here / "scores.csv").stat().st_size < 10_000:
        assert process.poll() is None
        assert time.monotonic() < deadline, "nothing was written"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (here / "scores.csv.progress").is_file(), "it was killed too late"
    assert main(command[3:]) == 0
    table = pd.read_csv("scores.csv")
    assert table["name"].tolist() == [f"line{n}" for n in range(3000)]
    assert not os.path.exists("scores.csv.progress")


def test_sample_grows_and_links_fragments(here, tiny_policy, capsys):
    words = ["sample", str(tiny_policy), "--count", "5", "--max_new_tokens", "4", "--fragment"]
    for fragments, wanted in ((["*C#C*"], "C#C"), (["*C#C", "*C#N"], "C#N")):
        assert main([*words, *fragments]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 5
        assert all(wanted in canonical_smiles(line) for line in lines)
    with pytest.raises(SystemExit, match="2"):
        main([*words, "*C", "*C", "*C"])
    assert "expected one to grow, or two to link" in capsys.readouterr().err


def test_sample_writes_one_a_line(here, tiny_policy, capsys):
    words = ["sample", str(tiny_policy), "--count", "5", "--max_new_tokens", "4"]
    assert main(words) == 0
    written = capsys.readouterr().out
    assert len(written.splitlines()) == 5
    assert main([*words, "--output", "five.txt"]) == 0
    assert (here / "five.txt").read_text() == written


def test_what_was_sampled_before_an_interruption_is_kept(here, tiny_policy):
    words = ["sample", str(tiny_policy), "--count", "1000000", "--batch_size", "16", "--output", "many.txt"]
    process = subprocess.Popen([sys.executable, "-m", "lobster", *words], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while not (here / "many.txt").is_file() or (here / "many.txt").stat().st_size < 100:
        assert process.poll() is None
        assert time.monotonic() < deadline, "nothing was written"
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert "Traceback" not in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert len((here / "many.txt").read_text().splitlines()) % 16 == 0


def test_what_is_sampled_is_read_as_the_reward_reads_it(here, tiny_policy, tmp_path, capsys):
    """A tokenizer that writes blanks between residues, and a policy that sometimes writes nothing."""
    tokenizer = Tokenizer(WordLevel({"<bos>": 0, "<eos>": 1, "<unk>": 2, "M": 3, "K": 4, "T": 5}, "<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    names = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(tmp_path / "words")
    size = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 6, "bos_token_id": 0, "eos_token_id": 1}
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(vocab_size=6, **size)).save_pretrained(tmp_path / "words")
    words = ["sample", str(tmp_path / "words"), "--count", "30", "--output", "written.txt", "--prompt"]
    assert main([*words, "M"]) == 0  # 126 new tokens were asked for, there are 6 positions
    lines = (here / "written.txt").read_text().splitlines()
    assert len(lines) == 30
    assert "" in lines
    assert all(set(line) <= set("MKT") for line in lines)
    assert max(map(len, lines)) > 1
    assert main(["evaluate", "samples", "written.txt", "--modality", "amino_acid"]) == 0
    assert f"| amino_acid | validity | 30 | {1 - lines.count('') / 30:.3f} |" in capsys.readouterr().out
    for prompt, message in (("", "becomes no token"), ("M K T M K T", "it has no room to go on")):
        assert main([*words, prompt]) == 1
        assert message in capsys.readouterr().err


def test_what_cannot_write_is_told(here, ume_folder, tmp_path, capsys):
    (tmp_path / "killed" / "checkpoint-2").mkdir(parents=True)
    for name in ("trainer_state.json", "run_settings.json"):
        (tmp_path / "killed" / "checkpoint-2" / name).write_text("{}")
    for policy, message in ((ume_folder, "is a UME, the reward"), ("killed", "its last checkpoint is")):
        assert main(["sample", str(policy), "--count", "1"]) == 1
        assert message in capsys.readouterr().err


def test_demo_runs_and_refuses_what_it_does_not_know(here, tiny_policy, ume_folder, capsys):
    tiny = ["demo", "--model_path", str(tiny_policy), "--ume", ume_folder, "--samples", "8", "--max_steps", "1"]
    tiny += ["--per_device_train_batch_size", "4", "--num_generations", "4", "--max_completion_length", "8"]
    assert main(tiny) == 0
    assert "mean pseudo-likelihood" in capsys.readouterr().out
    assert (here / "runs" / "demo" / "summary.json").is_file()
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "--max_step", "1"])
    assert "'max_step': the nearest that exists is 'max_steps'" in capsys.readouterr().err


def test_pretrain_and_evaluate_pass_their_words_on(here, capsys):
    (here / "some.txt").write_text("CCO\nc1ccccc1O\n")
    assert main(["evaluate", "samples", "some.txt", "--modality", "SMILES"]) == 0
    assert "| SMILES | validity | 2 | 1.000 |" in capsys.readouterr().out
    assert main(["pretrain", "vocabulary", "some.txt"]) == 0
    assert "c" in capsys.readouterr().out.split()
    with pytest.raises(SystemExit, match="2"):
        main(["pretrain", "policy", "--smile", "some.txt", "--dance", "1"])


TINY = {
    "per_device_train_batch_size": 4,
    "num_generations": 4,
    "max_completion_length": 8,
    "max_steps": 2,
    "save_steps": 1,
    "disable_tqdm": True,
}


def test_grpo_takes_yaml_and_flags_over_it(here, tiny_policy, ume_folder, capsys):
    given = {"model_name_or_path": str(tiny_policy), "encoder": ume_folder, "modality": "SMILES", "output_dir": "out"}
    given |= TINY | {"learning_rate": "1e-3", "diversity": {"floor": 0.5}, "env": {"LOBSTER_TEST": "1"}}
    (here / "run.yaml").write_text(yaml.safe_dump(given))
    assert main(["grpo", "--config", "run.yaml", "--learning_rate", "2e-3", "--guard", "{window: 3}"]) == 0
    assert capsys.readouterr().out.endswith("The policy is in out\n")
    assert os.environ.pop("LOBSTER_TEST") == "1"
    AutoModelForCausalLM.from_pretrained("out")
    settings = yaml.safe_load((here / "out" / "checkpoint-2" / "run_settings.json").read_text())
    assert settings["learning_rate"] == 2e-3
    assert settings["diversity.floor"] == 0.5
    assert settings["beta"] == BETA[Modality.SMILES]
    assert main(["grpo", "--config=run.yaml", "--resume", "--max_steps", "3"]) == 0
    assert (here / "out" / "checkpoint-3").is_dir()
    assert main(["grpo", "--config", "run.yaml"]) == 1
    assert "holds another run" in capsys.readouterr().err


@pytest.fixture(scope="module")
def recorded(tiny_policy, ume_folder, tmp_path_factory):
    """The folder of a run of four steps that a YAML file has described, chat template included."""
    folder = tmp_path_factory.mktemp("runs")
    given = {"model_name_or_path": str(tiny_policy), "encoder": ume_folder, "modality": "SMILES"} | TINY
    given |= {"prompts": [[{"role": "user", "content": text}] for text in ("CN", "O")], "num_generations": 2}
    given |= {"chat_template": "{{ bos_token }}{% if add_generation_prompt %}{{ messages[0]['content'] }}{% endif %}"}
    given |= {"output_dir": str(folder / "mine"), "max_steps": 4, "learning_rate": 1e-2, "html_report": False}
    (folder / "given.yaml").write_text(yaml.safe_dump(given))
    assert main(["grpo", "--config", str(folder / "given.yaml")]) == 0
    return folder / "mine"


def weights(folder) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_grpo_repeats_a_recorded_run(here, recorded, capsys):
    for name, config in (("one", recorded / "run.yaml"), ("two", recorded)):
        assert main(["grpo", "--config", str(config), "--output_dir", name, "--html_report=false"]) == 0
        assert weights(here / name) == weights(recorded)
        pd.testing.assert_frame_equal(read_completions(name), read_completions(recorded))
        assert main(["sample", name, "--count", "20", "--output", f"{name}.txt"]) == 0
    assert (here / "one.txt").read_text() == (here / "two.txt").read_text()
    one, two = (read_description(folder / "run.yaml")["arguments"] for folder in (recorded, here / "one"))
    assert one == two


def test_flags_win_over_a_recorded_run(here, recorded, tiny_policy):
    words = [
        "--config",
        str(recorded),
        "--output_dir",
        "out",
        "--max_steps",
        "1",
        "--model_name_or_path",
        str(tiny_policy),
    ]
    words += ["--prompts", "[C, N]", "--diversity", "{floor: 0.5}", "--modality", "SMILES", "--html_report=false"]
    assert main(["grpo", *words]) == 0
    found = read_description(here / "out" / "run.yaml")
    assert (found["arguments"]["max_steps"], found["arguments"]["diversity"]["floor"]) == (1, 0.5)
    assert "processing_class" not in found["arguments"]
    assert found["files"]["data/train_dataset.parquet"]["rows"] == 2


def test_a_recorded_run_is_not_overwritten(recorded, capsys):
    before = weights(recorded)
    assert main(["grpo", "--config", str(recorded / "run.yaml")]) == 1
    said = f"error: {recorded} holds the run of run.yaml: say where this one goes (--output_dir), or go on with that one (--resume)\n"
    assert capsys.readouterr().err == said
    assert main(["grpo", "--config", str(recorded), "--output_dir", str(recorded)]) == 1
    assert "holds another run" in capsys.readouterr().err
    assert weights(recorded) == before


def test_a_killed_run_is_resumed_by_its_file_to_the_same_weights(here, recorded, capsys):
    command = [
        sys.executable,
        "-m",
        "lobster",
        "grpo",
        "--config",
        str(recorded),
        "--output_dir",
        "cut",
        "--html_report=false",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not checkpoints("cut"):
        assert process.poll() is None
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for late in list(checkpoints("cut"))[:-1]:  # it may have come further before the signal did
        shutil.rmtree(here / "cut" / f"checkpoint-{late}")
    (here / "cut" / "model.safetensors").unlink(missing_ok=True)
    assert main(["grpo", "--config", "cut/run.yaml", "--resume", "--html_report=false"]) == 0
    assert capsys.readouterr().out.endswith("The policy is in cut\n")
    assert weights(here / "cut") == weights(recorded)
    pd.testing.assert_frame_equal(read_completions("cut"), read_completions(recorded))
    assert read_description("cut/run.yaml")["arguments"] == read_description(recorded / "run.yaml")["arguments"]


def test_grpo_trains_an_adapter(here, tiny_policy, ume_folder, capsys):
    pytest.importorskip("peft")
    words = [f"--{name}={value}" for name, value in (TINY | {"max_steps": 1}).items()]
    lora = ["--use_peft", "--lora_r", "2", "--lora_target_modules", "q_proj", "v_proj"]
    main(
        [
            "grpo",
            "--model_name_or_path",
            str(tiny_policy),
            "--encoder",
            ume_folder,
            "--output_dir",
            "out",
            *lora,
            *words,
        ]
    )
    assert (here / "out" / "adapter_config.json").is_file()
    again = ["grpo", "--config", "out", "--output_dir", "again"]
    assert main([*again, "--lora_r", "4"]) == 1
    assert "lora_r alone does not change the adapter of a recorded run" in capsys.readouterr().err
    assert main(again) == 0
    one, two = ((here / name / "adapter_model.safetensors").read_bytes() for name in ("out", "again"))
    assert one == two
    assert main([*again[:-1], "whole", "--use_peft=false"]) == 0
    assert (here / "whole" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max_stepz", "3"], "unknown argument --max_stepz: the nearest that exists is 'max_steps'"),
        (["--config"], "--config needs a file"),
        (["--config", "odd.yaml"], "unknown argument --encodr: the nearest that exists is 'encoder'"),
        (["--beta", "x"], "argument --beta: invalid float value: 'x'"),
    ],
)
def test_wrong_arguments_of_grpo_are_2(here, words, said, capsys):
    (here / "odd.yaml").write_text("encodr: ume-nano-base-3M")
    with pytest.raises(SystemExit, match="2"):
        main(["grpo", *words])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", list(example_runs()))
def test_every_example_of_grpo_runs(here, name, capsys):
    assert main(["grpo", "--example", name]) == 0
    (here / "run.yaml").write_text(text := capsys.readouterr().out)
    written = yaml.safe_load(text)
    assert written["beta"] == BETA[Modality(written.get("modality") or "SMILES")]
    groups = 2 if name == "chat" else 1
    small = {
        "max_steps": 1,
        "max_completion_length": 6,
        "per_device_train_batch_size": 4,
        "num_generations": 4 // groups,
    }
    words = [str(word) for key, value in small.items() for word in (f"--{key}", value)]
    assert main(["grpo", "--config", "run.yaml", "--encoder", "ume-nano-base-3M", "--disable_tqdm=true", *words]) == 0


def test_trls_own_command_takes_the_reward(here, tiny_policy, ume_folder):
    (here / "prompts").mkdir()
    pd.DataFrame({"prompt": ["C"] * 4, "modality": ["SMILES"] * 4}).to_json(
        "prompts/train.jsonl", orient="records", lines=True
    )
    run = TINY | {
        "model_name_or_path": str(tiny_policy),
        "dataset_name": "prompts",
        "reward_funcs": ["lobster.rl_training.hub.ume_reward"],
        "output_dir": "out",
        "use_cpu": True,
        "bf16": False,
        "max_steps": 1,
        "logging_steps": 1,
        "env": {"LOBSTER_ENCODER": ume_folder},
    }
    (here / "run.yaml").write_text(yaml.safe_dump(run))
    command = [sys.executable, "-m", "trl.scripts.grpo", "--config", "run.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "rewards/ume_reward/mean" in done.stdout + done.stderr
