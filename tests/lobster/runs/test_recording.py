"""What a run leaves in its folder to be read, and how it is repeated from there."""

import json
import logging
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from datasets import Dataset
from pyarrow import parquet

from lobster.model.policies import load_policy
from lobster.rl_training import create_ume_grpo_trainer, read_run, train_ume_grpo
from lobster.runs.folder import completion_parts, read_completions, read_description, read_metrics

SETTINGS = {
    "per_device_train_batch_size": 4,
    "num_generations": 4,
    "max_completion_length": 8,
    "learning_rate": 1e-2,
    "max_steps": 3,
    "save_steps": 1,
    "logging_steps": 1,
    "disable_tqdm": True,
    "report_to": "none",
}
PROMPTS = {"prompt": ["", "C", "N", "O"], "modality": ["SMILES"] * 4}


@pytest.fixture(scope="module")
def train(tiny_policy, ume_folder):
    def run(folder, policy=tiny_policy, prompts=PROMPTS, **changes):
        settings = {"device": "cpu", "html_report": False} | SETTINGS | changes
        return train_ume_grpo(policy, ume_folder, prompts, output_dir=folder, **settings)

    return run


@pytest.fixture(scope="module")
def ended(train, tmp_path_factory) -> Path:
    """The folder of a run of three steps."""
    folder = tmp_path_factory.mktemp("runs") / "ended"
    scoring = {"components": [{"kind": "pseudo_likelihood"}, {"kind": "qed", "weight": 2, "role": "part"}]}
    train(folder, scoring=scoring, diversity={"bucket_size": 7}, guard={"max_kl": 3.0})
    return folder


@pytest.fixture
def copy(ended, tmp_path) -> Path:
    return Path(shutil.copytree(ended, tmp_path / "copy"))


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_every_completion_is_recorded(ended):
    rows = read_completions(ended)
    assert list(rows.columns) == [
        *("step", "prompt", "completion", "sequence", "modality", "outcome"),
        *("pseudo_likelihood", "score", "qed", "novelty_weight", "reward"),
    ]
    assert rows.groupby("step").size().to_dict() == {1: 4, 2: 4, 3: 4}
    assert set(rows.prompt) <= set(PROMPTS["prompt"])
    scored = rows[rows.outcome == "scored"]
    assert len(scored)
    expected = scored.score * scored.novelty_weight / 0.1
    assert (scored.reward - expected).abs().max() < 1e-5
    assert (scored.score - (scored.pseudo_likelihood * scored.qed**2) ** (1 / 3)).abs().max() < 1e-5
    means = rows.groupby("step").reward.mean()
    assert read_metrics(ended).set_index("step").reward.to_dict() == pytest.approx(means.to_dict(), abs=1e-4)


def test_a_line_of_metrics_that_is_cut_or_none_is_told(ended, tmp_path):
    file, whole = tmp_path / "metrics.jsonl", (ended / "metrics.jsonl").read_text()
    file.write_text(whole + '{"step": 4, "rew')
    assert list(read_metrics(tmp_path).step) == [1, 2, 3]
    file.write_text("rubbish\n" + whole)
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 1 is no JSON"):
        read_metrics(tmp_path)


def test_the_summary_says_how_it_ended(ended):
    summary = json.loads((ended / "summary.json").read_text())
    assert summary["ended"] == "step 3 of 3"
    assert (summary["first"]["step"], summary["last"]["step"]) == (1, 3)
    assert summary["distinct_sequences"] == read_completions(ended).sequence.nunique()
    assert summary["best"]["score"] >= summary["last"]["reward"] * 0.1


def test_the_run_file_holds_everything(ended, tiny_policy, ume_folder):
    found = read_description(ended / "run.yaml")
    arguments = found["arguments"]
    assert arguments["model_path"] == str(tiny_policy)
    assert arguments["ume_model_path"] == str(ume_folder)
    assert arguments["beta"] == 0.5  # not TRL's
    assert "weight_decay" not in arguments  # TRL's
    assert arguments["seed"] == 42
    assert arguments["diversity"] | {"bucket_size": 7, "scaffold": "murcko"} == arguments["diversity"]
    assert arguments["guard"] | {"max_kl": 3.0, "window": 20} == arguments["guard"]
    assert arguments["scoring"]["components"][1] == {"kind": "qed", "weight": 2, "role": "part"}
    assert found["files"]["data/train_dataset.parquet"]["rows"] == 4
    assert {"python", "torch", "trl"} <= found["versions"].keys()
    assert "not_in_this_file" not in found


def test_a_run_is_repeated_from_its_file(ended, tmp_path):
    for name in ("one", "two"):
        train_ume_grpo(**read_run(ended / "run.yaml"), output_dir=tmp_path / name)
        assert "<svg" in (tmp_path / name / "report.html").read_text()
    assert weights(tmp_path / "one") == weights(tmp_path / "two") == weights(ended)
    pd.testing.assert_frame_equal(read_completions(tmp_path / "one"), read_completions(ended))
    one, two = (read_description(folder / "run.yaml")["arguments"] for folder in (ended, tmp_path / "one"))
    assert one == two


def test_other_arguments_win(ended):
    assert read_run(ended, seed=3, train_dataset=["C"]) | {"seed": 3, "train_dataset": ["C"]} == read_run(
        ended, seed=3, train_dataset=["C"]
    )


def test_conversations_and_several_evaluations_come_back(train, tmp_path):
    rows = Dataset.from_dict({"prompt": [[{"role": "user", "content": text}] for text in "CNO"], "level": [1, 2, 3]})
    chat = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    model, tokenizer = load_policy("smiles-policy-3M")
    tokenizer.chat_template = chat
    model.save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    data = {"prompts": rows.select([2, 0, 1, 0]), "eval_dataset": {"a/b": rows, "c": rows.select([1])}}
    train(tmp_path / "run", tmp_path / "policy", **data, max_steps=1)
    again = read_run(tmp_path / "run")
    assert again["train_dataset"][:] == data["prompts"][:]
    assert {name: part[:] for name, part in again["eval_dataset"].items()} == {
        name: part[:] for name, part in data["eval_dataset"].items()
    }
    assert json.loads(read_completions(tmp_path / "run").prompt[0])[0]["role"] == "user"


def test_a_file_of_ones_own(tmp_path):
    (tmp_path / "mine.yaml").write_text("arguments: {learning_rate: 1e-5, train_dataset: [C, N]}")
    assert read_run(tmp_path / "mine.yaml") == {"learning_rate": 1e-5, "train_dataset": ["C", "N"]}
    (tmp_path / "mine.yaml").write_text("learning_rate: 1e-5")
    with pytest.raises(ValueError, match=r"mine\.yaml describes no run: expected a mapping"):
        read_run(tmp_path / "mine.yaml")


def test_resuming_neither_loses_nor_doubles(train, tmp_path):
    train(tmp_path / "whole", max_steps=4)
    train(tmp_path / "cut", max_steps=4)
    for step in (3, 4):  # as if it had been killed in step 3, whose completions are on the disk
        shutil.rmtree(tmp_path / "cut" / f"checkpoint-{step}")
    train(tmp_path / "cut", max_steps=4, resume_from_checkpoint=True)
    whole, cut = (read_completions(tmp_path / name) for name in ("whole", "cut"))
    pd.testing.assert_frame_equal(whole, cut)
    metrics = [read_metrics(tmp_path / name)[["step", "reward", "kl"]] for name in ("whole", "cut")]
    pd.testing.assert_frame_equal(*metrics, rtol=1e-4)
    assert read_description(tmp_path / "cut" / "run.yaml")["resumed"] == [{"step": 2}]


@pytest.mark.parametrize(
    "step", [2, 3]
)  # the end of the first epoch of two prompts a step, and the middle of the second
def test_resuming_keeps_the_order_of_prompts(train, tmp_path, step):
    changes = {"max_steps": 5, "num_generations": 2}
    train(tmp_path / "whole", **changes)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for later in range(step + 1, 6):
        shutil.rmtree(tmp_path / "cut" / f"checkpoint-{later}")
    train(tmp_path / "cut", resume_from_checkpoint=True, **changes)
    pd.testing.assert_frame_equal(*(read_completions(tmp_path / name) for name in ("whole", "cut")))
    assert weights(tmp_path / "whole") == weights(tmp_path / "cut")


def test_a_run_that_is_resumed_with_other_arguments_says_so(train, copy, caplog):
    train(copy, resume_from_checkpoint=True, max_steps=4, beta=0.1, diversity={"bucket_size": 7}, guard={"max_kl": 3.0})
    [said] = read_description(copy / "run.yaml")["resumed"]
    assert said["step"] == 3
    assert "beta 0.5 → 0.1" in said["changed"]
    with caplog.at_level(logging.WARNING):
        read_run(copy)
    assert "until step 3 the run of" in caplog.text


def test_a_new_run_begins_an_empty_record(train, copy):
    train(copy, overwrite_output_dir=True, max_steps=1)
    assert set(read_completions(copy).step) == {1}
    assert list(read_metrics(copy).step) == [1]


def test_files_are_filled_and_the_oldest_but_the_first_go(tiny_policy, tiny_ume, tmp_path):
    trainer = create_ume_grpo_trainer(
        tiny_policy, tiny_ume, PROMPTS, output_dir=tmp_path, keep_completions=24, **(SETTINGS | {"max_steps": 9})
    )
    trainer.train()
    assert trainer.recorder.part_rows == 6
    assert [parquet.read_metadata(file).num_rows for file in completion_parts(tmp_path)] == [6, 6, 6]
    assert sorted(set(read_completions(tmp_path).step)) == [1, 2, 7, 8, 9]


def test_nothing_is_kept_where_nothing_is_wanted(train, tmp_path):
    train(tmp_path, keep_completions=0, max_steps=1)
    assert not (tmp_path / "completions").exists()
    with pytest.raises(ValueError, match="keep_completions is -1"):
        train(tmp_path / "new", keep_completions=-1)


def test_functions_of_ones_own_are_written_by_their_names(train, tmp_path, monkeypatch):
    (tmp_path / "my_rewards_of_this_test.py").write_text(
        "def carbons(sequence): return sequence.count('C') / 9\n"
        "def short(completions, **columns): return [1 / (1 + len(c)) for c in completions]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import my_rewards_of_this_test as mine

    scoring = {"components": [{"kind": mine.carbons, "transform": {"kind": "step", "low": 0.2}}]}
    train(tmp_path / "run", scoring=scoring, reward_funcs=mine.short, max_steps=1)
    text = yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())
    assert text["arguments"]["scoring"]["components"][0]["kind"] == "my_rewards_of_this_test.carbons"
    assert str(tmp_path / "my_rewards_of_this_test.py") in text["files"]
    monkeypatch.undo()
    monkeypatch.delitem(sys.modules, "my_rewards_of_this_test")
    again = train_ume_grpo(**read_run(tmp_path / "run"), output_dir=tmp_path / "again")
    assert again.reward_func_names == ["ume_reward", "short"]
    pd.testing.assert_frame_equal(read_completions(tmp_path / "run"), read_completions(tmp_path / "again"))


def test_what_the_file_cannot_hold_is_named(train, tmp_path, tiny_policy):
    stream = Dataset.from_dict(PROMPTS).to_iterable_dataset()
    scoring = {"components": [{"kind": lambda sequence: 0.5, "name": "half"}]}
    model, tokenizer = load_policy(tiny_policy)
    train(tmp_path, model, stream, scoring=scoring, max_steps=1, processing_class=tokenizer)
    with pytest.raises(ValueError, match=r"does not hold the whole run .*half\.kind: .*<lambda>.*: pass ") as caught:
        read_run(tmp_path)
    for name in ("model_path= (--model_name_or_path)", "train_dataset=", "scoring="):
        assert name in str(caught.value)
    again = read_run(tmp_path, model_path=tiny_policy, train_dataset=PROMPTS, scoring="qed")
    assert again["scoring"] == "qed"
    assert again["processing_class"].get_vocab() == tokenizer.get_vocab()


def test_a_lora_run_is_repeated(train, tmp_path):
    peft = pytest.importorskip("peft")
    train(
        tmp_path / "one",
        peft_config=peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"),
        max_steps=1,
    )
    train_ume_grpo(**read_run(tmp_path / "one"), output_dir=tmp_path / "two")
    one, two = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_file_that_has_changed_is_said(copy, caplog):
    Dataset.from_dict(PROMPTS | {"prompt": ["C"] * 4}).to_parquet(copy / "data" / "train_dataset.parquet")
    with caplog.at_level(logging.WARNING):
        read_run(copy)
    assert "train_dataset.parquet has changed since" in caplog.text
    (copy / "data" / "train_dataset.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"train_dataset\.parquet, which .* names, does not exist"):
        read_run(copy)


def test_an_evaluation_before_a_run_writes_nothing(tiny_policy, tiny_ume, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer = create_ume_grpo_trainer(tiny_policy, tiny_ume, PROMPTS, PROMPTS, tmp_path / "out", **SETTINGS)
    assert trainer.evaluate()["eval_loss"] is not None
    assert not list(tmp_path.rglob("metrics.jsonl"))
    assert not list(tmp_path.rglob("*.parquet"))
