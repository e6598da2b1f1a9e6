"""Trainers: TRL's real GRPO on tiny models."""

import json
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, TrainerCallback
from trl import GRPOTrainer

from lobster.model import Ume
from lobster.prompts import linker_prompts
from lobster.resume import checkpoints, last_checkpoint
from lobster.rl_training import DiversityMemory, create_ume_grpo_trainer, read_run, train_ume_grpo
from lobster.runs.folder import read_completions
from lobster.sequences import canonical_smiles

SMALL = {
    "per_device_train_batch_size": 8,
    "num_generations": 8,
    "max_completion_length": 8,
    "learning_rate": 1e-2,
    "max_steps": 2,
    "logging_steps": 1,
    "save_strategy": "no",
    "disable_tqdm": True,
}


@pytest.fixture
def prompts() -> Dataset:
    return Dataset.from_dict({"prompt": [""] * 8, "modality": ["SMILES"] * 8})


@pytest.fixture(scope="session")
def tiny_ume_folder(tiny_ume, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ume")
    tiny_ume.save_pretrained(folder)
    return folder


def parameters(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_training_changes_the_policy_and_saves_it(tiny_policy, tiny_ume_folder, prompts, tmp_path):
    trainer = train_ume_grpo(tiny_policy, tiny_ume_folder, prompts, output_dir=tmp_path, device="cpu", **SMALL)
    assert isinstance(trainer, GRPOTrainer)
    assert trainer.state.global_step == 2
    assert not same(parameters(tmp_path), parameters(tiny_policy))
    AutoModelForCausalLM.from_pretrained(tmp_path)
    assert "reinforced by GRPO" in (tmp_path / "README.md").read_text()
    logged = trainer.state.log_history
    assert any("ume_reward/valid" in entry and "rewards/ume_reward/mean" in entry for entry in logged)
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_our_defaults_and_what_is_passed_wins(tiny_policy, tiny_ume, prompts, tmp_path):
    def build(**grpo):
        return create_ume_grpo_trainer(tiny_policy, tiny_ume, prompts, output_dir=tmp_path, **(SMALL | grpo)).args

    args = build()
    assert (args.scale_rewards, args.disable_dropout) == ("none", True)
    assert args.beta == 0.5
    assert args.mask_truncated_completions
    if not torch.cuda.is_available():
        assert (args.use_cpu, args.bf16, args.gradient_checkpointing) == (True, False, False)
    asked = [{"prompt": "", "modality": m} for m in ("SMILES", "amino_acid")]
    both = create_ume_grpo_trainer(tiny_policy, tiny_ume, asked, output_dir=tmp_path, **SMALL).args
    assert both.beta == 4
    assert build(gradient_checkpointing=True, use_cpu=True).gradient_checkpointing
    args = build(scale_rewards="group", beta=0.0, top_k=7, disable_dropout=False)
    assert (args.scale_rewards, args.beta, args.top_k, args.disable_dropout) == ("group", 0.0, 7, False)


def test_what_is_filled_in_is_scored_as_a_whole_also_where_it_is_cut(tiny_policy, tiny_ume, tmp_path):
    rows = linker_prompts("*c1ccncc1", "*C1CCNCC1", count=4)
    settings = SMALL | {"max_completion_length": 1, "max_steps": 4, "include_prompt": True, "diversity": False}
    guard = {"window": 1, "patience": 1, "max_truncated": 0.1, "max_zero_variance": 1.0}
    trainer = create_ume_grpo_trainer(tiny_policy, tiny_ume, rows, output_dir=tmp_path, guard=guard, **settings)
    trainer.train()
    assert not trainer.args.mask_truncated_completions
    assert trainer.state.global_step == 4
    assert max(entry.get("completions/clipped_ratio", 0) for entry in trainer.state.log_history) > 0.5
    written = read_completions(tmp_path)
    suffixes = {row["prompt"]: row["suffix"] for row in rows}
    whole = written["prompt"] + written["completion"] + written["prompt"].map(suffixes)
    assert written["sequence"].tolist() == [canonical_smiles(text) for text in whole]


def test_batch_size_is_the_batch_of_a_device(tiny_policy, tiny_ume, prompts, tmp_path):
    settings = {name: value for name, value in SMALL.items() if name != "per_device_train_batch_size"}
    trainer = create_ume_grpo_trainer(tiny_policy, tiny_ume, prompts, output_dir=tmp_path, batch_size=8, **settings)
    assert trainer.args.per_device_train_batch_size == 8
    with pytest.raises(TypeError, match="same thing"):
        create_ume_grpo_trainer(tiny_policy, tiny_ume, prompts, output_dir=tmp_path, batch_size=4, **SMALL)


def test_an_unknown_keyword_is_named_with_the_nearest_real_one(tiny_policy, tiny_ume, prompts):
    with pytest.raises(TypeError, match=r"'learning_rat'.*'learning_rate'"):
        create_ume_grpo_trainer(tiny_policy, tiny_ume, prompts, learning_rat=1e-3)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a"] * 8}, r"no column 'prompt', only \['text'\]"),
        ({"prompt": []}, "is empty"),
        ({"prompt": [""] * 3}, "has 3 prompts, a generation batch of 32 with num_generations=8 needs 4: .* to 16"),
        ({"prompt": [""] * 8, "modality": ["lipid"] * 8}, "expected one of SMILES"),
        ({"prompt": [""] * 8, "completions": [""] * 8}, "'completions', which TRL uses itself"),
        ({"prompt": [""] * 8, "suffix": ["C"] * 8}, "column 'suffix', .*: pass include_prompt=True, or rename_column"),
    ],
)
def test_a_data_set_that_does_not_fit_is_explained(tiny_policy, tiny_ume, columns, message):
    settings = SMALL | {"per_device_train_batch_size": 32}
    with pytest.raises(ValueError, match=message):
        create_ume_grpo_trainer(tiny_policy, tiny_ume, Dataset.from_dict(columns), **settings)


def test_a_weight_too_few_is_explained(tiny_policy, tiny_ume, prompts):
    wrong = {"reward_funcs": [lambda completions, **columns: [0.0] * len(completions)], "reward_weights": [1.0]}
    with pytest.raises(ValueError, match="has 1 weights for 2 rewards: expected the UME's first, then one for each"):
        create_ume_grpo_trainer(tiny_policy, tiny_ume, prompts, **SMALL | wrong)


def test_a_lone_prompt_begins_every_group(tiny_policy, tiny_ume, tmp_path):
    settings = SMALL | {"per_device_train_batch_size": 32, "max_steps": 1}
    trainer = create_ume_grpo_trainer(tiny_policy, tiny_ume, ["C"], output_dir=tmp_path, **settings)
    trainer.train()
    assert read_completions(tmp_path)["prompt"].tolist() == ["C"] * 32
    assert read_run(tmp_path, ume_model_path=tiny_ume)["train_dataset"]["prompt"][:] == ["C"]


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1.0}, {"top_p": 3}, {"beta": -0.1}, {"beta": float("nan")}, {"max_completion_length": 0}],
)
def test_a_number_that_cannot_train_is_refused(tiny_policy, tiny_ume, prompts, wrong):
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))} is .*: expected a number"):
        create_ume_grpo_trainer(tiny_policy, tiny_ume, prompts, **SMALL | wrong)


def test_batches_that_do_not_divide_are_explained(tiny_policy, tiny_ume, prompts):
    settings = SMALL | {"per_device_train_batch_size": 6, "num_generations": 4}
    with pytest.raises(
        ValueError, match=r"batch of 6 .* num_generations=4: make the batch 4 or 8, or num_generations 3"
    ):
        create_ume_grpo_trainer(tiny_policy, tiny_ume, prompts, **settings)
    with pytest.raises(ValueError, match="needs at least 2"):
        create_ume_grpo_trainer(tiny_policy, tiny_ume, prompts, **(SMALL | {"num_generations": 1}))


def test_an_unknown_policy_says_what_was_tried_and_what_ships(tiny_ume, prompts):
    with pytest.raises(FileNotFoundError, match=r"no-such-policy.*ships.*ume-mini-base-12M.*save_pretrained"):
        create_ume_grpo_trainer("no-such-policy", tiny_ume, prompts, **SMALL)


def test_a_ume_is_no_policy(tiny_ume, tiny_ume_folder, prompts):
    with pytest.raises(ValueError, match="is a UME"):
        create_ume_grpo_trainer(tiny_ume_folder, tiny_ume, prompts, **SMALL)


def test_a_model_in_memory_can_be_anchored(tiny_policy, tiny_ume, prompts, tmp_path):
    from transformers import AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_policy)
    model.config._name_or_path = ""
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    trainer = create_ume_grpo_trainer(
        model, tiny_ume, prompts, output_dir=tmp_path, processing_class=tokenizer, beta=0.1, **SMALL
    )
    trainer.train()
    assert trainer.state.log_history[0]["kl"] == pytest.approx(0, abs=1e-5)


def test_peft_callbacks_and_more_rewards_pass_through(tiny_policy, tiny_ume, prompts, tmp_path):
    peft = pytest.importorskip("peft")
    steps = []

    class Steps(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            steps.append(state.global_step)

    def shortness(completions, **kwargs):
        return [-float(len(c)) for c in completions]

    trainer = create_ume_grpo_trainer(
        tiny_policy,
        tiny_ume,
        prompts,
        output_dir=tmp_path,
        peft_config=peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"),
        callbacks=[Steps()],
        reward_funcs=shortness,
        reward_weights=[1.0, 0.1],
        **SMALL,
    )
    trainer.train()
    assert steps == [1, 2]
    assert trainer.reward_func_names == ["ume_reward", "shortness"]
    assert "lora" in " ".join(trainer.model.state_dict())


def run(policy, ume, prompts, folder, **changes):
    settings = SMALL | {"max_steps": 4, "save_strategy": "steps", "save_steps": 2} | changes
    return train_ume_grpo(policy, ume, prompts, output_dir=folder, device="cpu", html_report=False, **settings)


def test_a_resumed_run_ends_like_an_unbroken_one(tiny_policy, tiny_ume_folder, prompts, tmp_path):
    whole = run(tiny_policy, tiny_ume_folder, prompts, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole" / "checkpoint-2", tmp_path / "broken" / "checkpoint-2")
    (tmp_path / "broken" / "checkpoint-3").mkdir()  # what a kill leaves of a checkpoint: the memory, no trainer state
    DiversityMemory().save(tmp_path / "broken" / "checkpoint-3")
    resumed = run(tiny_policy, tiny_ume_folder, prompts, tmp_path / "broken", resume_from_checkpoint=True)
    assert resumed.state.global_step == 4
    assert same(parameters(tmp_path / "whole"), parameters(tmp_path / "broken"))
    assert resumed.ume_reward.diversity._seen == whole.ume_reward.diversity._seen


def test_a_killed_run_resumes_to_the_same_result(tiny_policy, tiny_ume_folder, prompts, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            from datasets import Dataset
            from lobster.rl_training import train_ume_grpo

            prompts = Dataset.from_dict({{"prompt": [""] * 8, "modality": ["SMILES"] * 8}})
            settings = {SMALL | {"max_steps": 200, "save_strategy": "steps", "save_steps": 2, "save_total_limit": 2}!r}
            train_ume_grpo({str(tiny_policy)!r}, {str(tiny_ume_folder)!r}, prompts, output_dir=sys.argv[1], html_report=False,
                           device="cpu", **settings)
            """
        )
    )
    process = subprocess.Popen([sys.executable, script, tmp_path / "killed"])
    deadline = time.monotonic() + 120
    while not any(step >= 6 for step in checkpoints(tmp_path / "killed")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.05)
    process.kill()
    process.wait()
    last = last_checkpoint(tmp_path / "killed")
    steps = json.loads((last / "trainer_state.json").read_text())["global_step"] + 2
    # max_steps shapes the learning rate, so both runs keep 200 and a callback ends them early.

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step >= steps

    def finish(folder, **changes):
        run(tiny_policy, tiny_ume_folder, prompts, folder, max_steps=200, callbacks=[Stop()], **changes)
        return parameters(folder)

    resumed = finish(tmp_path / "killed", resume_from_checkpoint=True)
    assert same(resumed, finish(tmp_path / "unbroken"))


def test_nothing_to_resume_from_is_an_error(tiny_policy, tiny_ume_folder, prompts, tmp_path):
    with pytest.raises(FileNotFoundError, match="no whole checkpoint"):
        run(tiny_policy, tiny_ume_folder, prompts, tmp_path, resume_from_checkpoint=True)


def test_an_evaluation_neither_uses_nor_fills_the_memory(tiny_policy, tiny_ume, prompts, tmp_path):
    trainer = create_ume_grpo_trainer(
        tiny_policy,
        tiny_ume,
        prompts,
        prompts,
        output_dir=tmp_path,
        num_generations_eval=5,
        **SMALL,
    )
    trainer.train()
    before = set(trainer.ume_reward.diversity._seen)
    metrics = trainer.evaluate()
    assert trainer.ume_reward.diversity._seen == before
    assert metrics["eval_ume_reward/novelty_weight"] == metrics["eval_ume_reward/valid"]


def test_a_memory_of_ones_own_is_used_and_evaluations_leave_it_alone(tiny_policy, tiny_ume, prompts, tmp_path):
    memory = DiversityMemory("none", bucket_size=2)
    trainer = create_ume_grpo_trainer(
        tiny_policy, tiny_ume, prompts, prompts, output_dir=tmp_path, diversity=memory, num_generations_eval=5, **SMALL
    )
    assert trainer.ume_reward.diversity is memory
    trainer.evaluate()
    assert len(memory) == 0
    trainer.train()
    assert len(memory) > 0


def test_parts_can_be_described_by_their_arguments(tiny_policy, tiny_ume, prompts, tmp_path):
    def build(**parts):
        return create_ume_grpo_trainer(tiny_policy, tiny_ume, prompts, output_dir=tmp_path, **parts, **SMALL)

    trainer = build(diversity={"scaffold": "generic", "bucket_size": 3}, guard={"window": 5})
    assert (trainer.ume_reward.diversity.scaffold, trainer.ume_reward.diversity.bucket_size) == ("generic", 3)
    with pytest.raises(TypeError, match=r"diversity: key 'bucket' is unknown: .*'bucket_size'"):
        build(diversity={"bucket": 3})


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"diversity": "x"}, TypeError, "diversity is 'x': expected True, False, a DiversityMemory or its arguments"),
        ({"guard": 5}, TypeError, "guard is 5: expected True, False, a RunGuard or its arguments"),
        ({"scoring_budget": "many"}, ValueError, "scoring_budget is 'many': expected a whole number, at least 1"),
        ({"scoring_budget": 0}, ValueError, "scoring_budget is 0"),
        ({"until_score": "0.5"}, ValueError, "until_score is '0.5': expected a score in"),
    ],
)
def test_what_cannot_watch_or_end_a_run_is_refused(tiny_policy, tiny_ume, prompts, tmp_path, wrong, error, said):
    with pytest.raises(error, match=said):
        create_ume_grpo_trainer(tiny_policy, tiny_ume, prompts, output_dir=tmp_path, **SMALL | wrong)


def test_the_plain_reward_has_no_memory(tiny_policy, tiny_ume, prompts, tmp_path):
    trainer = create_ume_grpo_trainer(tiny_policy, tiny_ume, prompts, output_dir=tmp_path, diversity=False, **SMALL)
    assert trainer.ume_reward.diversity is None
    trainer.train()
    assert trainer.state.global_step == 2


def test_a_lower_temperature_pushes_harder(tiny_policy, tiny_ume, prompts, tmp_path):
    def moved(temperature: float) -> float:
        trainer = create_ume_grpo_trainer(
            tiny_policy,
            tiny_ume,
            prompts,
            output_dir=tmp_path / str(temperature),
            reward_temperature=temperature,
            **(SMALL | {"optim": "sgd", "lr_scheduler_type": "constant", "max_grad_norm": 1e9, "beta": 0.0}),
        )
        start = [p.detach().clone() for p in trainer.model.parameters()]
        trainer.train()
        ends = [p.detach() for p in trainer.model.parameters()]
        return sum(float((p - q).norm() ** 2) for p, q in zip(start, ends, strict=True)) ** 0.5

    assert moved(0.01) > 5 * moved(0.1) > 0


def test_two_processes_train_one_policy(tiny_policy, tiny_ume_folder, tmp_path):
    script = tmp_path / "both.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import json, sys
            from accelerate import PartialState
            from datasets import Dataset
            from lobster.rl_training import train_ume_grpo

            prompts = Dataset.from_dict({{"prompt": [""] * 8, "modality": ["SMILES"] * 8}})
            trainer = train_ume_grpo({str(tiny_policy)!r}, {str(tiny_ume_folder)!r}, prompts, device="cpu", html_report=False,
                                     output_dir=sys.argv[1], mask_truncated_completions=False, **{SMALL!r})
            rank = trainer.accelerator.process_index
            output = trainer.accelerator.unwrap_model(trainer.model).get_output_embeddings().weight
            facts = [sorted(trainer.ume_reward.diversity._seen), output.sum().item()]
            with open(f"{{sys.argv[1]}}/rank{{rank}}.json", "w") as out:
                json.dump([trainer.accelerator.num_processes, *facts], out)
            PartialState().destroy_process_group()
            """
        )
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    arguments = [*command, str(script), str(tmp_path / "out")]
    subprocess.run(arguments, capture_output=True, timeout=300)  # gloo may abort at the very end
    one, other = (json.loads((tmp_path / "out" / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert one == other
    assert one[0] == 2
    assert not same(parameters(tmp_path / "out"), parameters(tiny_policy))


def test_the_ume_of_a_trainer_is_frozen(tiny_policy, tiny_ume_folder, prompts, tmp_path):
    ume = Ume.from_pretrained(tiny_ume_folder, device="cpu")
    before = [p.clone() for p in ume.model.parameters()]
    create_ume_grpo_trainer(tiny_policy, ume, prompts, output_dir=tmp_path, **SMALL).train()
    assert all(torch.equal(p, q) for p, q in zip(before, ume.model.parameters(), strict=True))
    assert not any(p.requires_grad for p in ume.model.parameters())
