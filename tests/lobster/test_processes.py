"""Processes that fail: none is left waiting."""

import subprocess
import sys

import pytest

from lobster.processes import ProcessFailedError, failing_together, from_all_processes

SCRIPT = '''
import sys, warnings
from accelerate import PartialState
from lobster.constants import Modality
from lobster.model import Ume
from lobster.rl_training import DiversityMemory, create_ume_reward_wrapper
from lobster.processes import failing_together, from_all_processes
from lobster.scoring import Component, ScoringFunction

warnings.simplefilter("ignore")
state = PartialState(cpu=True)
own = state.process_index
ume = Ume.from_pretrained("ume-nano-base-3M", device="cpu")
smiles = iter("C" * n + end for n in range(1, 20) for end in ("O", "N"))
broken = set()  # the processes whose component returns nothing

class Scoring(ScoringFunction):
    def __call__(self, *args):
        if "scoring" in broken and own == 1:
            raise ZeroDivisionError("the scorer of 1")
        return super().__call__(*args)

class Memory(DiversityMemory):
    def _row(self, *molecule):
        if "memory" in broken and own == 0:
            raise OSError("the memory of 0")
        return super()._row(*molecule)

def log(name, value):
    if "log" in broken:
        raise KeyError(f"the log of {own}")

scoring = Scoring([Component(lambda s: None if own in broken else 0.5, "mine")])
reward = create_ume_reward_wrapper(ume, scoring=scoring, diversity=Memory())

def call():
    """Return what a call with two new molecules gives, or raises."""
    try:
        return len(reward(completions=[next(smiles), next(smiles)], log_metric=log))
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def breaking(*names):
    broken.clear()
    broken.update(names)
    return call()

@failing_together()
def nested():
    with failing_together():
        if own == 1:
            raise ValueError("inside")

with open(f"{sys.argv[1]}/{own}", "w") as out:
    for names in ((), ("scoring",), ("memory",), ("log",), (0,), (0,), (0,), (0, 1), (0, 1), (0,), (0, 1), (0, 1), (0, 1)):
        print(breaking(*names), file=out)
    try:
        nested()
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=out)
    print(from_all_processes([own]), file=out)
state.destroy_process_group()
'''
FAILED = "ProcessFailedError: process "
IN_A_ROW = (
    "component 'mine' failed on every sequence of 3 calls in a row, the scorer is broken: "
    "TypeError: expected a number, got None. Mend it, or score without it"
)


def test_what_one_of_two_processes_raises_is_raised_in_both_at_once(tmp_path):
    script = tmp_path / "fail.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    done = subprocess.run([*command, str(script), str(tmp_path)], capture_output=True, text=True, timeout=300)
    for own in (0, 1):
        file = tmp_path / str(own)
        assert file.is_file(), done.stderr
        assert file.read_text().splitlines() == [
            "2",
            f"{FAILED}1 failed: ZeroDivisionError: the scorer of 1",
            f"{FAILED}0 failed: OSError: the memory of 0",
            f"{FAILED}0 failed: KeyError: 'the log of 0'",
            *["2"] * 3,  # the component works in the other process
            *["2"] * 2,  # in none, twice
            "2",
            *["2"] * 2,
            f"{FAILED}0 failed: RuntimeError: {IN_A_ROW}",
            f"{FAILED}1 failed: ValueError: inside",
            f"([[0], [1]], {own})",
        ]


def test_a_single_process_raises_what_it_raised():
    assert from_all_processes([1, 2]) == ([[1, 2]], 0)
    with pytest.raises(KeyError) as raised, failing_together():
        raise KeyError("here")
    assert not isinstance(raised.value, ProcessFailedError)
