"""The top_sequences: distinct sequences counted, the best kept, with the value of every component."""

import csv
import json
import math

import pytest
from datasets import Dataset

from lobster.constants import Modality
from lobster.rl_training import TopSequences, create_ume_grpo_trainer, train_ume_grpo
from lobster.scoring import Component, ScoringFunction
from lobster.scoring.completions import Outcome, Scored


def scored(sequence: str, score: float, **values: float) -> Scored:
    return Scored(Outcome.SCORED, Modality.SMILES, sequence, score, score, values)


def test_it_keeps_the_best_distinct_sequences():
    top_sequences = TopSequences(size=3)
    top_sequences.add([scored(s, p) for s, p in (("C", 0.1), ("CC", 0.5), ("CC", 0.5), ("CCC", 0.3))])
    top_sequences.add([scored("CCCC", 0.4), scored("C", 0.1), Scored(Outcome.EMPTY)])
    assert [(row["sequence"], row["score"]) for row in top_sequences.best] == [("CC", 0.5), ("CCCC", 0.4), ("CCC", 0.3)]
    assert top_sequences.unique == 4


def test_it_is_written_and_survives_on_disk(tmp_path):
    top_sequences = TopSequences()
    top_sequences.add([scored("CC", 0.5, qed=0.25, logp=math.nan), scored("CCC", 0.25, qed=0.125, logp=1.5)])
    top_sequences.save(tmp_path)
    json.loads((tmp_path / "top_sequences.json").read_text(), parse_constant=lambda name: 1 / 0)  # no NaN in it
    other = TopSequences()
    other.load(tmp_path)
    other.add([scored("CC", 0.5), scored("N", 0.75, qed=0.5, logp=0.0)])
    assert other.unique == 3
    other.write(tmp_path)
    with (tmp_path / "best_sequences.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["sequence"] for row in rows] == ["N", "CC", "CCC"]
    assert (rows[1]["qed"], rows[1]["logp"], rows[0]["modality"]) == ("0.25", "nan", "SMILES")


SMALL = {
    "per_device_train_batch_size": 8,
    "num_generations": 8,
    "max_completion_length": 8,
    "max_steps": 20,
    "logging_steps": 1,
    "save_strategy": "no",
    "disable_tqdm": True,
}


def test_a_run_writes_its_best_sequences_with_every_component(tiny_policy, tiny_ume, tmp_path):
    prompts = Dataset.from_dict({"prompt": [""] * 8, "modality": ["SMILES"] * 8})
    scoring = ScoringFunction([Component("pseudo_likelihood"), Component("qed"), Component(len, "size", role="filter",
                              transform={"kind": "linear", "low": 0, "high": 4})])  # fmt: skip
    trainer = create_ume_grpo_trainer(
        tiny_policy, tiny_ume, prompts, output_dir=tmp_path, scoring=scoring, **(SMALL | {"max_steps": 2})
    )
    trainer.train()
    with (tmp_path / "best_sequences.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert rows
    assert list(rows[0]) == ["sequence", "modality", "score", "pseudo_likelihood", "qed", "size"]
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    row = rows[0]
    mean = math.sqrt(float(row["pseudo_likelihood"]) * float(row["qed"]))
    assert float(row["score"]) == pytest.approx(mean * min(1, float(row["size"]) / 4), rel=1e-4)
    logged = [entry for entry in trainer.state.log_history if "ume_reward/qed" in entry]
    assert logged
    assert {"ume_reward/size", "ume_reward/cached", "ume_reward/unique"} <= logged[0].keys()


def test_a_budget_of_distinct_sequences_ends_a_run(tiny_policy, tiny_ume, tmp_path, caplog):
    tiny_ume.save_pretrained(tmp_path / "ume")
    prompts = Dataset.from_dict({"prompt": [""] * 8, "modality": ["SMILES"] * 8})
    trainer = train_ume_grpo(
        tiny_policy, tmp_path / "ume", prompts, output_dir=tmp_path, device="cpu", scoring_budget=20, **SMALL
    )
    assert trainer.state.global_step < 20
    assert 20 <= trainer.ume_reward.top_sequences.unique < 28
    assert "the scoring_budget is 20" in caplog.text
