"""Runs in stages: what is carried on, what ends one, and how they are resumed."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file
from transformers import TrainerCallback

from lobster.cli.main import main
from lobster.curriculum import train_curriculum
from lobster.grpo_command.arguments import parse_run, run_parser
from lobster.grpo_command.run import train_run
from lobster.resume import SETTINGS_FILE
from lobster.rl_training import read_run, train_ume_grpo
from lobster.runs.folder import STAGE_END, read_metrics
from lobster.scoring import ScoringError

COMMON = {
    "train_dataset": {"prompt": [""] * 4, "modality": ["SMILES"] * 4},
    "device": "cpu",
    "batch_size": 4,
    "num_generations": 4,
    "max_completion_length": 8,
    "save_steps": 2,
    "html_report": False,
}
STAGES = [{"max_steps": 3, "scoring": "qed"}, {"max_steps": 2, "scoring": "pseudo_likelihood"}]


@pytest.fixture
def train(tiny_policy, tiny_ume, tmp_path):
    """Train stages into a folder of that name."""

    def run(name: str, stages: list[dict], **more) -> Path:
        first = {"model_path": tiny_policy} | stages[0]
        train_curriculum([first, *stages[1:]], tmp_path / name, ume_model_path=tiny_ume, **COMMON | more)
        return tmp_path / name

    return run


def remembered(checkpoint: Path) -> set[str]:
    return set(json.loads((checkpoint / "diversity_memory.json").read_text())["molecules"])


def test_a_stage_goes_on_from_the_policy_and_the_memory_of_the_one_before(train, tiny_policy):
    folder = train("run", STAGES)
    last = folder / "stage-1/checkpoint-3", folder / "stage-2/checkpoint-2"
    assert remembered(last[0]) < remembered(last[1])
    assert yaml.safe_load((folder / "stage-2/run.yaml").read_text())["arguments"]["model_path"] == str(
        folder / "stage-1"
    )
    names = [component["kind"] for stage in (1, 2) for component in read_scoring(folder / f"stage-{stage}")]
    assert names == ["qed", "pseudo_likelihood"]
    assert main(["report", str(folder)]) == 0
    page = (folder / "report.html").read_text()
    assert "completions on record; step 3 of 3" in page
    assert "stage-1" in page
    assert "stage-2" in page


def read_scoring(folder: Path) -> list[dict]:
    return yaml.safe_load((folder / "run.yaml").read_text())["arguments"]["scoring"]["components"]


class Dies(TrainerCallback):
    """Ends a run as a kill does, after its third step."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise SystemError


def both_ends(*folders: Path) -> None:
    """Check that two runs have left the same policy and the same memory."""
    one, other = (load_file(folder / "stage-2/model.safetensors") for folder in folders)
    assert all((one[name] == other[name]).all() for name in one)
    assert len({frozenset(remembered(folder / "stage-2" / STAGE_END)) for folder in folders}) == 1


@pytest.mark.parametrize("broken", [0, 1])
def test_stages_that_were_killed_end_as_unbroken_ones(broken, train, capsys):
    stages = [{"max_steps": 4, "scoring": "qed"}, {"max_steps": 4, "scoring": "pseudo_likelihood"}]
    unbroken = train("unbroken", stages)
    with pytest.raises(SystemError):
        train("broken", [stage | {"callbacks": [Dies()]} if n == broken else stage for n, stage in enumerate(stages)])
    assert main(["doctor", str(unbroken.parent / "broken")]) == 0
    assert f"can be resumed: {broken + 1} stages have begun, {broken} have ended" in capsys.readouterr().out
    both_ends(unbroken, train("broken", stages, resume=True))


def test_an_ended_stage_leaves_its_memory_without_a_checkpoint(train):
    stages = [{"scoring": "complexity", "scoring_budget": 6, "max_steps": 9}, {"scoring": "complexity", "max_steps": 2}]
    unbroken = train("unbroken", stages, save_strategy="no")
    train("broken", stages[:1], save_strategy="no")
    both_ends(unbroken, train("broken", stages, save_strategy="no", resume=True))


def test_stages_that_overwrite_others_and_were_killed_do_not_go_on_with_those(train):
    unbroken = train("unbroken", STAGES, seed=7)
    train("broken", STAGES)
    with pytest.raises(SystemError):
        train("broken", [STAGES[0] | {"callbacks": [Dies()]}, STAGES[1]], seed=7, overwrite_output_dir=True)
    both_ends(unbroken, train("broken", STAGES, seed=7, resume=True))


def test_an_adapter_goes_on_through_stages_that_were_killed(train):
    peft = pytest.importorskip("peft")
    stages = [*STAGES, {"max_steps": 1}]
    adapter = peft.LoraConfig(task_type="CAUSAL_LM", r=2)
    with pytest.raises(SystemError):
        train("run", [stages[0], stages[1] | {"max_steps": 4, "callbacks": [Dies()]}, stages[2]], peft_config=adapter)
    folder = train("run", stages, peft_config=adapter, resume=True)
    assert (folder / "stage-3/adapter_model.safetensors").is_file()


def test_a_mistake_costs_an_older_run_nothing(train):
    folder = train("run", STAGES)
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
    with pytest.raises(ValueError, match="stage 2: a generation batch"):
        train("run", [STAGES[0], STAGES[1] | {"num_generations": 3}], overwrite_output_dir=True)
    with pytest.raises(FileExistsError, match="holds another run"):
        train("run", STAGES[:1])
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()} == before


def test_a_stage_that_is_removed_is_trained_anew_with_those_behind_it(train):
    unbroken = train("unbroken", STAGES, learning_rate=1e-4)
    folder = train("run", STAGES, learning_rate=1e-3)
    shutil.rmtree(folder / "stage-1")
    both_ends(unbroken, train("run", STAGES, learning_rate=1e-4, resume=True))


def test_what_costs_is_left_out_of_a_rehearsal(train):
    stages = [{"max_steps": 1}, {"max_steps": 1, "sync_ref_model": True, "beta": 0.5}]
    assert (train("run", stages) / "stage-2" / STAGE_END).is_dir()


def test_a_later_stage_that_is_repeated_begins_with_the_memory_of_the_one_before(train, tiny_ume, tmp_path):
    folder = train("run", STAGES)
    again = read_run(folder / "stage-2", ume_model_path=tiny_ume)
    train_ume_grpo(**again, output_dir=tmp_path / "again", html_report=False)
    one, other = (load_file(f / "model.safetensors") for f in (folder / "stage-2", tmp_path / "again"))
    assert all((one[name] == other[name]).all() for name in one)


def test_a_score_that_is_reached_ends_a_stage(train):
    folder = train("run", [{"max_steps": 30, "scoring": "complexity", "until_score": 1e-3}])
    summary = json.loads((folder / "stage-1/summary.json").read_text())
    assert summary["steps"] < 30
    assert summary["ended"].endswith("has reached the until_score of 0.001")
    assert read_metrics(folder / "stage-1")["ume_reward/score"].tail(5).mean() >= 1e-3
    assert (folder / f"stage-1/checkpoint-{summary['steps']}" / SETTINGS_FILE).is_file()


def test_what_is_taken_over_cannot_be_a_stages_own(train):
    with pytest.raises(ValueError, match="stage 2 has model_path for itself, which all take over"):
        train("run", [STAGES[0], STAGES[1] | {"model_path": "smiles-policy-3M"}])
    with pytest.raises(ValueError, match="stage 1 has diversity for itself"):
        train("run", [STAGES[0] | {"diversity": False}])
    with pytest.raises(ValueError, match="stages is empty"):
        train_curriculum([], "nowhere")
    with pytest.raises(ValueError, match=r"until_score is 2: expected a score in \(0, 1\]"):
        train("run", [STAGES[0] | {"until_score": 2}])


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"scoring": "qde"}, FileNotFoundError, "qde"),
        ({"scoring": {"components": [{"kind": "qde"}]}}, ScoringError, "the nearest that exists is 'qed'"),
        ({"until_score": 2}, ValueError, "expected a score in"),
        ({"guard": {"kll": 1}}, TypeError, "guard: key 'kll' is unknown"),
        ({"leaning_rate": 1e-4}, TypeError, "unknown parameter 'leaning_rate'"),
        ({"num_generations": 3}, ValueError, "stage 2: a generation batch of 4 completions"),
        ({"reference": "nowhere.smi"}, FileNotFoundError, "nowhere.smi"),
        ({"reward_temperature": 0}, ValueError, "expected a positive number"),
        ({"temperature": -1.0}, ValueError, "temperature is -1.0: expected a number above 0"),
        ({"top_p": 3}, ValueError, "top_p is 3: expected a number above 0, at most 1"),
        ({"beta": -1}, ValueError, "beta is -1: expected a number of at least 0"),
        ({"train_dataset": [3]}, ValueError, "the prompt of row 0 is 3"),
    ],
)
def test_what_is_wrong_with_a_later_stage_is_said_before_the_first(train, tmp_path, wrong, error, said):
    with pytest.raises(error, match=said):
        train("run", [STAGES[0], STAGES[1] | wrong])
    assert not (tmp_path / "run").exists()


def test_stages_stand_in_yaml(tiny_policy, tiny_ume, tmp_path):
    tiny_ume.save_pretrained(tmp_path / "ume")
    arguments = {
        "model_name_or_path": str(tiny_policy),
        "encoder": str(tmp_path / "ume"),
        "modality": "SMILES",
        "output_dir": str(tmp_path / "run"),
        "html_report": False,
        **{"per_device_train_batch_size": 4, "num_generations": 4, "max_completion_length": 8, "save_strategy": "no"},
        "stages": [{"max_steps": 1, "scoring": "qed"}, {"max_steps": 2, "learning_rate": "5e-4"}],
    }
    (tmp_path / "stages.yaml").write_text(yaml.safe_dump(arguments))
    parser = run_parser("lobster grpo", "", "")
    assert train_run(parse_run(parser, ["--config", str(tmp_path / "stages.yaml")])) == str(tmp_path / "run/stage-2")
    learned = yaml.safe_load((tmp_path / "run/stage-2/run.yaml").read_text())["arguments"]
    assert (learned["learning_rate"], learned["max_steps"]) == (5e-4, 2)


@pytest.mark.parametrize("stages", ["3", "[1]", "{max_steps: 1}"])
def test_stages_that_are_none_are_refused(stages):
    with pytest.raises(ValueError, match="expected a list of mappings"):
        parse_run(run_parser("lobster grpo", "", ""), ["--stages", stages])
