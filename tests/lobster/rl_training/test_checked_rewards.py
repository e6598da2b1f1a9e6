"""Rewards of the user's own: what cannot be trained on ends the run in one line, on every process."""

import json
import subprocess
import sys
import textwrap

import pytest
import torch

from lobster.rl_training import create_ume_grpo_trainer

SETTINGS = {
    "per_device_train_batch_size": 4,
    "num_generations": 4,
    "max_completion_length": 8,
    "max_steps": 1,
    "save_strategy": "no",
    "disable_tqdm": True,
}


def answering(answer):
    def reward(completions, **columns):
        return answer(len(completions))

    return reward


async def coroutine(completions, **columns):
    return [float("inf")] * len(completions)


WRONG = {
    "inf": (lambda n: [0.0] * (n - 1) + [float("inf")], "returned inf for "),
    "minus inf": (lambda n: [float("-inf")] * n, "returned -inf for "),
    "nan": (lambda n: [float("nan")] * n, "returned nan for "),
    "beyond float32": (lambda n: [1e39] * n, r"returned 1e\+39 for "),
    "its square beyond float32": (lambda n: [1e30] * n, r"returned 1e\+30 for "),
    "too few": (lambda n: [0.0] * (n - 1), "returned 3 rewards for 4 completions"),
    "texts": (lambda n: ["good"] * n, "returned 'good' for "),
    "nothing": (lambda n: None, "returned None"),
    "one number": (lambda n: 1.0, "returned 1.0"),
    "a failure": (lambda n: 1 / 0, "failed .ZeroDivisionError: division by zero"),
}


def build(policy, ume, folder, rewards):
    return create_ume_grpo_trainer(policy, ume, [""] * 4, output_dir=folder, reward_funcs=rewards, **SETTINGS)


@pytest.mark.parametrize("name", [*WRONG, "coroutine"])
def test_a_reward_that_cannot_be_trained_on_is_named(name, tiny_policy, tiny_ume, tmp_path):
    function, message = (
        (coroutine, "returned inf") if name == "coroutine" else (answering(WRONG[name][0]), WRONG[name][1])
    )
    trainer = build(tiny_policy, tiny_ume, tmp_path, function)
    before = [p.clone() for p in trainer.model.parameters()]
    with pytest.raises(ValueError, match=rf"^reward function '{function.__name__}' {message}.*expected") as caught:
        trainer.train()
    assert "\n" not in str(caught.value)
    assert all(torch.equal(p, q) for p, q in zip(before, trainer.model.parameters(), strict=True))


def test_none_is_skipped_and_any_sequence_of_numbers_is_taken(tiny_policy, tiny_ume, tmp_path):
    rewards = (answering(lambda n: [None] * n), answering(lambda n: torch.arange(n)), answering(lambda n: (True,) * n))
    trainer = build(tiny_policy, tiny_ume, tmp_path, rewards)
    trainer.train()
    assert trainer.state.global_step == 1
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_a_reward_that_fails_on_one_process_ends_all(tiny_policy, tiny_ume, tmp_path):
    tiny_ume.save_pretrained(tmp_path / "ume")
    script = tmp_path / "both.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import json, os, time
            from accelerate import PartialState
            from lobster.rl_training import train_ume_grpo

            def other(completions, **columns):
                if os.environ["RANK"] == "1":
                    raise RuntimeError("no answer from the server")
                return [0.0] * len(completions)

            began = time.monotonic()
            try:
                train_ume_grpo({str(tiny_policy)!r}, {str(tmp_path / "ume")!r}, [""] * 8, device="cpu", html_report=False, reward_funcs=other,
                               output_dir={str(tmp_path / "out")!r}, **{SETTINGS!r})
            except ValueError as error:
                with open(f"{tmp_path}/rank{{os.environ['RANK']}}.json", "w") as out:
                    json.dump([str(error), time.monotonic() - began], out)
            PartialState().destroy_process_group()
            """
        )
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    subprocess.run([*command, str(script)], capture_output=True, timeout=300)  # gloo may abort at the very end
    one, other = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert one[0] == other[0]
    assert "'other' failed (RuntimeError: no answer from the server)" in one[0]
    assert abs(one[1] - other[1]) < 30
