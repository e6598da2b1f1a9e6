"""What a run shows: a panel in a terminal, with nothing torn, and plain lines in a pipe."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios

import pytest

from lobster.report import LiveView
from lobster.report.live_view import LINE

ROWS, COLUMNS = 60, 100
PROGRAM = """
import sys
import warnings
from transformers import TrainerCallback
from transformers.utils import logging
from lobster.rl_training import train_ume_grpo

class Chatter(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        print(f"printed in step {state.global_step}")
        logging.get_logger("transformers.chatter").warning("logged in step %d", state.global_step)
        warnings.warn(f"warned in step {state.global_step}")

policy, ume, steps, chatter = sys.argv[1:]
prompts = {"prompt": ["", "C"], "modality": ["SMILES"] * 2}
train_ume_grpo(policy, ume, prompts, prompts, output_dir="out", device="cpu", max_steps=int(steps), save_steps=2, logging_steps=1,
    per_device_train_batch_size=4, num_generations=4, max_completion_length=8, learning_rate=1e-2, eval_strategy="steps", eval_steps=2,
    report_to="none", html_report=False, callbacks=[Chatter()] if chatter == "chatter" else [],
    guard={"window": 1, "patience": 99, "max_kl": 1e-9})
print("the end")
"""


@pytest.fixture(scope="module")
def command(tiny_policy, tiny_ume, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ume")
    tiny_ume.save_pretrained(folder)
    return [sys.executable, "-c", PROGRAM, str(tiny_policy), str(folder)]


def in_terminal(command: list[str], folder, **environment: str) -> str:
    """Run a command in a pseudo-terminal, and return what it wrote there."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)} | environment
    process = subprocess.Popen(command, cwd=folder, stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    written = b""
    try:
        while part := os.read(ours, 65536):
            written += part
    except OSError:  # which is how a pseudo-terminal says that its other side is closed
        pass
    os.close(ours)
    assert process.wait() == 0, written.decode()
    return written.decode()


def screen(written: str) -> list[str]:
    """Return the lines that a terminal shows in the end, those that have scrolled out included."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if part == "\r":
            column = 0
        elif part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part.startswith("\x1b["):
            count = int(part[2:-1]) if part[2:-1].isdigit() else 1
            if part[-1] == "A":
                row -= count
            elif part[-1] == "K":
                lines[row] = lines[row][:column] if count != 2 else ""
        else:
            lines[row] = lines[row].ljust(column)[:column] + part + lines[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines]


def test_a_terminal_shows_one_panel_and_nothing_torn(command, tmp_path):
    written = in_terminal([*command, "4", "chatter"], tmp_path)
    shown = screen(written)
    [top] = [number for number, line in enumerate(shown) if line.startswith("╭")]
    [bottom] = [number for number, line in enumerate(shown) if line.startswith("╰")]
    panel = "\n".join(shown[top : bottom + 1])
    assert all(line[0] + line[-1] == "││" for line in shown[top + 1 : bottom])
    for part in ("out", "step 4/4", "0:00:00 left", "tokens/s", "from"):
        assert part in panel
    for title in ("reward", "pseudo-likelihood", "valid", "unique", "kl"):
        assert re.search(rf"{title} +[▁▂▃▄▅▆▇█]{{4}} ", panel)
    assert re.search(r"\d\.\d{3} (new|   ) +[A-Za-z0-9()=]+ ", panel)  # the best sequences
    for step in range(1, 5):
        assert f"printed in step {step}" in shown
        assert f"[transformers] logged in step {step}" in shown
        assert any(line.endswith(f"warned in step {step}") for line in shown)
    assert len([line for line in shown if line.startswith("step 4/4  evaluation  reward")]) == 1
    assert "the run stops in 99 steps if it stays so" in " ".join(shown)  # the guard
    assert "the end" in shown[bottom + 1]
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # the cursor is back
    for noise in ("'loss'", "it/s", "Writing model shards", "Loading weights", "FutureWarning"):
        assert noise not in written


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"PYTHONIOENCODING": "ascii"}])
def test_a_terminal_that_cannot_draw_gets_lines(command, tmp_path, environment):
    written = in_terminal([*command, "2", ""], tmp_path, **environment)
    assert "step 2/2  0:00:00 left  reward" in written
    assert "\x1b" not in written


def test_a_pipe_gets_a_short_line_a_step(command, tmp_path):
    environment = os.environ | {"FORCE_COLOR": "1"}
    done = subprocess.run(
        [*command, "12", ""], cwd=tmp_path, capture_output=True, text=True, env=environment, check=True
    )
    *lines, end = done.stdout.splitlines()
    steps = [line for line in lines if "evaluation" not in line]
    assert [int(re.match(r"step (\d+)/12  \S+ left  reward \S+  pseudo-likelihood ", line)[1]) for line in steps] == [
        *range(1, 13)
    ]
    assert len(lines) == 12 + 6
    assert end == "the end"
    assert max(map(len, lines)) <= LINE < 160
    assert "\x1b" not in done.stdout + done.stderr
    assert "the run stops in 99 steps if it stays so" in done.stderr
    for noise in ("'loss'", "it/s", "FutureWarning"):
        assert noise not in done.stdout + done.stderr


class State:
    is_world_process_zero = False
    log_history = ()


def test_other_processes_say_nothing(capsys):
    class Reward:
        __name__ = "ume_reward"
        top_sequences = None

    view = LiveView(Reward())
    view.on_train_begin(None, State, None)
    view.on_log(None, State, None, {"reward": 1.0})
    view.on_step_end(None, State, None)
    view.close()
    assert capsys.readouterr().out == ""
