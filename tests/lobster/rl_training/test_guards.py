"""Guards: a run that goes bad is warned about, stopped, and gives its best policy back."""

import logging
import shutil

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, TrainerControl, TrainerState, TrainingArguments

from lobster.rl_training import RunGuard, create_ume_grpo_trainer

GOOD = {"reward": 1.0, "ume_reward/valid": 0.9, "ume_reward/unique": 1.0, "completions/mean_length": 30.0, "kl": 0.1,
        "frac_reward_zero_std": 0.0, "completions/clipped_ratio": 0.5}  # fmt: skip


def watch(guard: RunGuard, entries: list[dict], first: int = 1) -> tuple[TrainerState, TrainerControl]:
    """Feed a guard the logs of a run, a step each, from a step on; those before are of a checkpoint."""
    args = TrainingArguments("out", save_strategy="no", use_cpu=True, report_to="none")
    state, control = TrainerState(), TrainerControl()
    state.logging_steps = 1
    state.log_history = [entry | {"step": step} for step, entry in enumerate(entries[: first - 1], 1)]
    guard.on_train_begin(args, state, control)
    for step, entry in enumerate(entries[first - 1 :], first):
        state.global_step = step
        guard.on_log(args, state, control, entry)
        if control.should_training_stop:
            break
    return state, control


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ume_reward/valid", 0.2),
        ("ume_reward/unique", 0.1),
        ("completions/mean_length", 200.0),
        ("completions/mean_length", 2.0),
        ("kl", 5.0),
        ("frac_reward_zero_std", 1.0),
        ("completions/clipped_ratio", 0.97),
    ],
)
def test_each_thing_that_goes_bad_warns_and_then_stops(name, value, caplog):
    with caplog.at_level(logging.WARNING):
        guard = RunGuard(window=4, patience=6)
        state, control = watch(guard, [GOOD] * 10 + [GOOD | {name: value}] * 30)
    assert control.should_training_stop
    assert 16 < state.global_step <= 21
    warning, reason = caplog.messages
    assert name in warning
    assert "stops in 6 steps" in warning
    assert reason == guard.reason
    assert name in reason
    assert "\n" not in reason


@pytest.mark.parametrize("first", [3, 9, 13, 15])
def test_a_run_that_goes_on_is_stopped_where_an_unbroken_one_is(first):
    entries = [GOOD] * 10 + [GOOD | {"completions/mean_length": 200.0}] * 30
    steps = {watch(RunGuard(window=4, patience=6), entries, start)[0].global_step for start in (1, first)}
    assert len(steps) == 1


def test_a_good_run_a_bad_start_and_a_bad_moment_go_on(caplog):
    poor = GOOD | {"ume_reward/valid": 0.1}
    better = [GOOD | {"ume_reward/valid": 0.1 + 0.02 * i} for i in range(40)]
    for entries in ([GOOD] * 50, [poor] * 30 + better, [GOOD] * 20 + [poor] * 6 + [GOOD] * 20):
        guard = RunGuard(window=4, patience=8)
        assert not watch(guard, entries)[1].should_training_stop
        assert guard.reason is None


def test_a_run_that_collapses_gives_back_its_best_policy(tiny_policy, tiny_ume, tmp_path, caplog):
    """A real run whose reward turns bad at step 8: the policy that is saved is one from before."""
    prompts = Dataset.from_dict({"prompt": [""] * 8, "modality": ["SMILES"] * 8})
    guard = RunGuard(window=2, patience=3, max_kl=0.05)
    settings = {
        "per_device_train_batch_size": 8,
        "num_generations": 8,
        "max_completion_length": 8,
        "learning_rate": 0.05,
        "lr_scheduler_type": "constant",
        "max_steps": 60,
        "save_steps": 1,
        "logging_steps": 1,
        "disable_tqdm": True,
    }
    trainer = create_ume_grpo_trainer(
        tiny_policy, tiny_ume, prompts, output_dir=tmp_path, guard=guard, beta=0.01, **settings
    )
    trainer.train()
    assert guard.reason
    assert "kl is" in guard.reason
    assert trainer.state.global_step < 60
    best = trainer.state.best_global_step
    assert f"the policy is that of step {best}" in guard.reason
    kept = AutoModelForCausalLM.from_pretrained(tmp_path / f"checkpoint-{best}")
    trainer.save_model(str(tmp_path))
    saved = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert all(torch.equal(p, q) for p, q in zip(kept.parameters(), saved.parameters(), strict=True))
    for later in range(best + 1, trainer.state.global_step + 1):  # as where checkpoints are rare
        shutil.rmtree(tmp_path / f"checkpoint-{later}", ignore_errors=True)
    again = create_ume_grpo_trainer(
        tiny_policy, tiny_ume, prompts, output_dir=tmp_path, guard={"window": 2, "max_kl": 0.05}, beta=0.01, **settings
    )
    again.train(resume_from_checkpoint=True)
    assert f"had been stopped by its guard after step {best}: nothing is trained (guard=False goes on)" in caplog.text
    assert all(torch.equal(p.cpu(), q) for p, q in zip(again.model.parameters(), kept.parameters(), strict=True))


def test_numbers_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="window is 0"):
        RunGuard(window=0)
    with pytest.raises(ValueError, match=r"length_factor is 0\.5"):
        RunGuard(length_factor=0.5)


def test_completions_that_are_cut_teach_nothing_and_end_the_run(tiny_policy, tiny_ume, tmp_path):
    prompts = Dataset.from_dict({"prompt": [""] * 8, "modality": ["SMILES"] * 8})
    guard = RunGuard(window=2, patience=2)
    settings = {"batch_size": 8, "num_generations": 8, "max_completion_length": 4, "max_steps": 20, "logging_steps": 1}
    never_end = {"suppress_tokens": [1, 2]}  # <eos> and <pad>
    trainer = create_ume_grpo_trainer(
        tiny_policy, tiny_ume, prompts, output_dir=tmp_path, guard=guard, learning_rate=0.05, save_strategy="no",
        disable_tqdm=True, generation_kwargs=never_end, **settings
    )  # fmt: skip
    before = [p.clone() for p in trainer.model.parameters()]
    trainer.train()
    assert "completions/clipped_ratio is 1" in guard.reason
    assert trainer.state.global_step < 20
    assert any(entry.get("reward", 0) > 0 for entry in trainer.state.log_history)
    assert all(torch.equal(p, q) for p, q in zip(before, trainer.model.parameters(), strict=True))
