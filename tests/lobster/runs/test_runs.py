"""A run's folder: whose it is, what is gone on from, and what is said when a run cannot go on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, TrainerCallback

from lobster.evaluation import sample
from lobster.model.policies import load_policy
from lobster.resume import alone_in, checkpoint_to_resume, checkpoints, last_checkpoint
from lobster.rl_training import create_ume_grpo_trainer, train_ume_grpo

SETTINGS = {
    "per_device_train_batch_size": 4,
    "num_generations": 4,
    "max_completion_length": 8,
    "learning_rate": 1e-2,
    "max_steps": 2,
    "save_steps": 1,
    "disable_tqdm": True,
}
PROMPTS = {"prompt": [""] * 4, "modality": ["SMILES"] * 4}


@pytest.fixture(scope="module")
def train(tiny_policy, ume_folder):
    def run(folder, policy=tiny_policy, **changes):
        settings = {"device": "cpu", "html_report": False} | SETTINGS | changes
        return train_ume_grpo(policy, ume_folder, PROMPTS, output_dir=folder, **settings)

    return run


@pytest.fixture(scope="module")
def ended(train, tmp_path_factory) -> Path:
    """The folder of a run of two steps."""
    folder = tmp_path_factory.mktemp("runs") / "ended"
    train(folder)
    return folder


@pytest.fixture
def copy(ended, tmp_path) -> Path:
    return Path(shutil.copytree(ended, tmp_path / "copy"))


def weights(folder: Path, name: str = "model.safetensors") -> bytes:
    return (folder / name).read_bytes()


def test_a_folder_with_another_run_is_refused(train, copy):
    message = r"copy holds another run \(checkpoint-.\): .*resume_from_checkpoint=True.*overwrite_output_dir=True"
    with pytest.raises(FileExistsError, match=message):
        train(copy)
    for checkpoint in copy.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    with pytest.raises(FileExistsError, match=r"holds another run \(config\.json\)"):
        train(copy)


def test_a_folder_with_another_run_is_refused_by_the_trainer(tiny_policy, tiny_ume, copy):
    trainer = create_ume_grpo_trainer(tiny_policy, tiny_ume, PROMPTS, output_dir=copy, **SETTINGS)
    with pytest.raises(FileExistsError, match="holds another run"):
        trainer.train()


def test_a_run_is_alone_in_its_folder(train, copy):
    with alone_in(copy), pytest.raises(FileExistsError, match="copy: another run writes into it now: let it end"):
        train(copy, overwrite_output_dir=True)
    assert len(list(copy.glob("checkpoint-*"))) > 1


def test_overwriting_deletes_the_other_runs_checkpoints(train, copy):
    train(copy, overwrite_output_dir=True, max_steps=1, seed=1)
    assert [folder.name for folder in copy.glob("checkpoint-*")] == ["checkpoint-1"]


def test_a_checkpoint_of_another_run_may_be_gone_on_from_elsewhere_alone(train, ended, copy, tmp_path):
    with pytest.raises(FileExistsError, match="holds another run"):
        train(copy, resume_from_checkpoint=str(ended / "checkpoint-1"))
    assert train(tmp_path / "new", resume_from_checkpoint=str(ended / "checkpoint-1")).state.global_step == 2


def test_an_earlier_checkpoint_is_not_gone_on_from_before_later_ones(train, copy):
    with pytest.raises(FileExistsError, match=r"holds checkpoints after the one to resume from \(checkpoint-2\)"):
        train(copy, resume_from_checkpoint=str(copy / "checkpoint-1"))
    before = weights(copy)
    train(copy, resume_from_checkpoint=str(copy / "checkpoint-1"), overwrite_output_dir=True)
    assert weights(copy) == before


def test_a_run_that_had_ended_is_left_as_it_is(train, copy, caplog):
    before = {f: f.read_bytes() for f in copy.rglob("*.safetensors")}
    trainer = train(copy, resume_from_checkpoint=True)
    assert {f: f.read_bytes() for f in copy.rglob("*.safetensors")} == before
    assert trainer.state.global_step == 2
    assert f"the run in {copy} had ended at step 2: nothing is trained" in caplog.text
    assert len(trainer.ume_reward.diversity) > 0
    for name, value in load_file(copy / "model.safetensors").items():
        assert (trainer.model.state_dict()[name] == value).all()


@pytest.mark.parametrize("ending", [{"num_train_epochs": 2, "max_steps": -1}, {"scoring_budget": 1, "max_steps": 5}])
def test_epochs_and_budgets_end_a_run_too(train, tmp_path, ending):
    changes = {"num_generations": 4, "save_steps": 1} | ending
    steps = train(tmp_path, **changes).state.global_step
    before = weights(tmp_path)
    assert train(tmp_path, resume_from_checkpoint=True, **changes).state.global_step == steps
    assert weights(tmp_path) == before


def test_what_differs_from_the_run_that_is_resumed_is_said(train, copy, caplog, tmp_path):
    scoring = tmp_path / "scoring.yaml"
    scoring.write_text("components: [{kind: pseudo_likelihood}, {kind: qed, weight: 2}]")
    changes = {"reward_temperature": 0.2, "scoring": scoring, "diversity": {"bucket_size": 3}, "beta": 0.1}
    train(copy, resume_from_checkpoint=True, max_steps=3, logging_steps=7, learning_rate=1e-3, **changes)
    [said] = [record.getMessage() for record in caplog.records if "other settings" in record.getMessage()]
    for change in ("reward_temperature 0.1 → 0.2", "scoring.qed None → qed 2 part", "diversity.bucket_size 50 → 3"):
        assert change in said
    assert "beta 0.5 → 0.1" in said
    assert "learning_rate 0.01 → 0.001" in said
    assert "logging" not in said
    assert "\n" not in said


def test_nothing_is_said_of_the_same_settings(train, copy, caplog):
    shutil.rmtree(copy / "checkpoint-2")
    train(copy, resume_from_checkpoint=True)
    assert "other settings" not in caplog.text


def test_a_memory_or_policy_that_does_not_fit_is_refused(train, copy):
    with pytest.raises(ValueError, match="scaffold"):
        train(copy, resume_from_checkpoint=True, max_steps=3, diversity={"scaffold": "generic"})
    with pytest.raises(ValueError, match=r"checkpoint-2 holds a policy of llama with .*, this run's is llama with 3,4"):
        train(copy, "smiles-policy-3M", resume_from_checkpoint=True, max_steps=3)


def test_a_checkpoint_that_is_not_whole_is_named(ended, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"checkpoint-9 is no whole checkpoint.*whole ones beside it: .*checkpoint-2"
    ):
        checkpoint_to_resume(ended, ended / "checkpoint-9")


class CtrlC(TrainerCallback):
    """Presses Ctrl-C in the middle of a step."""

    def __init__(self, times: int = 1):
        self.times = times

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        if state.global_step == 2:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("changes", [{}, {"save_strategy": "no"}, {"save_steps": 1, "save_total_limit": 1}])
def test_ctrl_c_finishes_the_step_saves_it_and_says_how_it_goes_on(train, tmp_path, capfd, changes):
    changes = {"max_steps": 5, "save_steps": 50, "logging_steps": 1} | changes
    before = signal.getsignal(signal.SIGINT)
    end = "^stopped at step 3: checkpoint 3 is whole, resume with resume_from_checkpoint=True"
    with pytest.raises(KeyboardInterrupt, match=end) as caught:
        train(tmp_path / "cut", callbacks=[CtrlC()], **changes)
    assert "\n" not in str(caught.value)
    assert "Ctrl-C again stops at once" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    assert train(tmp_path / "cut", resume_from_checkpoint=True, **changes).state.global_step == 5
    train(tmp_path / "whole", **changes)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_ctrl_c_leaves_a_summary_and_a_report(train, tmp_path):
    with pytest.raises(KeyboardInterrupt, match="resume with"):
        train(tmp_path, max_steps=5, save_steps=50, logging_steps=1, html_report=True, callbacks=[CtrlC()])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["ended"], summary["last"]["step"]) == ("interrupted at step 3 of 5", 3)
    assert (tmp_path / "best_sequences.csv").read_text().startswith("sequence,")
    assert "<svg" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("save_steps", "end"),
    [(2, "checkpoint 2 is whole, resume with resume_from_checkpoint=True"), (50, "no checkpoint was")],
)
def test_a_second_ctrl_c_stops_at_once(train, tmp_path, save_steps, end):
    with pytest.raises(KeyboardInterrupt, match=f"^stopped at step 2: {end}"):
        train(tmp_path, max_steps=5, save_steps=save_steps, html_report=True, callbacks=[CtrlC(times=2)])
    assert not (tmp_path / "report.html").exists()


class LostCtrlC(TrainerCallback):
    """Presses Ctrl-C twice where the exception is lost, as in a callback from C code."""

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        for _ in range(2):
            with suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


def test_a_second_ctrl_c_that_is_lost_ends_the_run_with_the_step(train, tmp_path):
    with pytest.raises(KeyboardInterrupt, match=r"^stopped at step 1: no checkpoint was"):
        train(tmp_path, max_steps=5, callbacks=[LostCtrlC()])


def test_ctrl_c_in_another_thread_is_left_alone(train, tmp_path):
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(train, tmp_path, max_steps=1).result().state.global_step == 1


def test_ctrl_c_in_the_example_is_one_line_and_130(tmp_path, tiny_policy, ume_folder):
    (tmp_path / "prompts.txt").write_text("C\n" * 4)
    example = Path(__file__).parents[3] / "examples" / "train_ume_grpo.py"
    options = {
        "model_path": tiny_policy,
        "ume": ume_folder,
        "dataset": "prompts.txt",
        "output_dir": "out",
        "device": "cpu",
    }
    options |= SETTINGS | {"max_steps": 5000, "save_steps": 2, "save_total_limit": 1}
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    process = subprocess.Popen([sys.executable, example, *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not checkpoints(tmp_path / "out"):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    last = said.strip().splitlines()[-1]
    steps = re.fullmatch(
        r"stopped at step (\d+): checkpoint (\d+) is whole, resume with resume_from_checkpoint=True.*", last
    )
    assert steps
    assert steps[1] == steps[2]
    assert "Traceback" not in said


@pytest.fixture
def mount(tmp_path):
    """Mount a small file system; skip where that is not allowed."""
    target = tmp_path / "disk"
    target.mkdir()

    def mounted(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(target)]
        if os.geteuid() or shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting is not allowed here")
        return target

    yield mounted
    if os.path.ismount(target):  # lazily: what could not be written may still be held open
        subprocess.run(["umount", "--lazy", str(target)], check=True)


@pytest.mark.parametrize("kilobytes", [600, 700, 850, 1100])
def test_a_full_disk_names_the_last_whole_checkpoint(train, mount, kilobytes):
    folder = mount(f"size={kilobytes}k") / "run"
    with pytest.raises(
        OSError, match=rf"^no space left on {folder}: (checkpoint \d is whole|no checkpoint was)"
    ) as caught:
        train(folder, max_steps=9)
    assert "\n" not in str(caught.value)
    whole = next(iter(checkpoints(folder)), None)
    assert f"checkpoint {whole} is whole" in str(caught.value) if whole else "no checkpoint" in str(caught.value)
    assert {int(f.name[11:]) for f in folder.glob("checkpoint-*")} == set(checkpoints(folder))
    if whole:
        AutoModelForCausalLM.from_pretrained(last_checkpoint(folder))


def test_a_folder_that_cannot_be_written_to_is_refused_before_training(train, mount, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        OSError, match=r"nothing can be written to .*file/run \(Not a directory\): choose another output_dir"
    ):
        train(tmp_path / "file" / "run")
    with pytest.raises(OSError, match=r"nothing can be written to .*disk/run \(Read-only file system\)"):
        train(mount("ro") / "run")


def test_a_lora_run_goes_on_from_its_own_output(train, tmp_path):
    peft = pytest.importorskip("peft")
    name = "adapter_model.safetensors"
    lora = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    train(tmp_path / "one", peft_config=lora)
    assert len(sample(*load_policy(tmp_path / "one"), 3)) == 3
    with pytest.raises(ValueError, match="is a LoRA adapter, which is trained on: leave peft_config out"):
        train(tmp_path / "two", tmp_path / "one", peft_config=lora)
    trainer = train(tmp_path / "two", tmp_path / "one", max_steps=4, logging_steps=1)
    assert trainer.state.log_history[0]["kl"] == pytest.approx(0, abs=1e-5)  # anchored to where it went on from
    start, end = (load_file(tmp_path / run / name) for run in ("one", "two"))
    assert start.keys() == end.keys()
    assert any((start[key] != end[key]).any() for key in start)
    for step in (3, 4):
        shutil.rmtree(tmp_path / "two" / f"checkpoint-{step}")
    before = weights(tmp_path / "two", name)
    train(tmp_path / "two", tmp_path / "one", max_steps=4, logging_steps=1, resume_from_checkpoint=True)
    assert weights(tmp_path / "two", name) == before


def test_settings_are_in_each_checkpoint(ended):
    for folder in checkpoints(ended).values():
        settings = json.loads((folder / "run_settings.json").read_text())
        assert settings["diversity.scaffold"] == "murcko"
        assert settings["prompts"] == len(Dataset.from_dict(PROMPTS))
