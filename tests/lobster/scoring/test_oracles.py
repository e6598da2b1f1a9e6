"""Oracles: how slow measures are asked, what ends them, and what is kept."""

import math
import multiprocessing
import os
import pickle
import re
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from lobster.constants import Modality
from lobster.rl_training import UmeRewardFunction
from lobster.scoring import Component, ScoringError, ScoringFunction, Step
from lobster.scoring.stored_values import StoredValues, default_file

MODULE = """
import os, time

def length(sequence, log, factor=1.0):
    with open(log + ".txt", "a") as file:
        file.write(sequence + "\\n")
    if sequence == "N":
        raise ValueError("no such molecule")
    return factor * len(sequence)

def hang(sequence, log):
    with open(log + ".txt", "a") as file:
        file.write(f"{os.getpid() if sequence == 'C' else ''}\\n")
    time.sleep(60 if sequence == "C" else 0)
    return 1.0

def second_time(sequence, log):
    length(sequence, log)
    if open(log + ".txt").read().split().count(sequence) < 2:
        raise RuntimeError("not yet")
    return 1.0

def die(sequence):
    if sequence == "C":
        os.kill(os.getpid(), 11)
    return 1.0

def lengths(sequences, log):
    with open(log + ".txt", "a") as file:
        file.write(f"{len(sequences)}\\n")
    return [None if s == "N" else len(s) for s in sequences]
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """A folder with a module `slow_things`, in which one stands, and where values are kept."""
    (tmp_path / "slow_things.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "slow_things", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def measure(component: Component, *sequences: str) -> tuple[list[float], list[str]]:
    found = component.measure(sequences, Modality.SMILES)
    return [one.value for one in found], [one.error for one in found]


def alive(pid: int) -> bool:
    """Say whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pids: list[int]) -> bool:
    """Wait for processes to end, for 10 s."""
    for _ in range(100):
        if not any(map(alive, pids)):
            return True
        time.sleep(0.1)
    return False


def log(name: str = "log") -> list[str]:
    file = Path(f"{name}.txt")  # not the parameter itself: a file among them would make another oracle once it changes
    return file.read_text().split() if file.exists() else []


def test_workers_share_a_batch_and_keep_its_order(place):
    def slow(sequence):
        time.sleep(0.2)
        return float(len(sequence))

    component = Component(slow, workers=8, cache=False)
    measure(component, *("C" * n for n in range(1, 9)))  # eight processes start
    begun = time.monotonic()
    values, errors = measure(component, *("C" * (1 + n % 32) for n in range(64)))
    assert time.monotonic() - begun < 3  # 32 different ones, of 6.4 s in all
    assert values == [1 + n % 32 for n in range(64)]
    assert not any(errors)


def test_a_function_that_takes_too_long_is_killed(place):
    component = Component("slow_things.hang", timeout=1, workers=2, log="pids", cache=False)
    begun = time.monotonic()
    values, errors = measure(component, "C", "N", "O")
    assert time.monotonic() - begun < 10
    assert errors == ["TimeoutError: no answer within 1 s", "", ""]
    assert math.isnan(values[0])
    assert gone([int(*log("pids"))])
    assert measure(component, "N") == ([1.0], [""])


def test_a_command_that_takes_too_long_is_killed_with_what_it_started(place):
    Path("hang.sh").write_text("sleep 60 &\necho $! >> pids.txt\necho $$ >> pids.txt\nwait\n")
    component = Component("command", command="bash hang.sh {smiles}", timeout=1, workers=2, cache=False)
    begun = time.monotonic()
    assert measure(component, "C", "N")[1] == ["TimeoutError: no answer within 1 s"] * 2
    assert time.monotonic() - begun < 10
    assert len(log("pids")) == 4
    assert gone(list(map(int, log("pids"))))


def test_what_failed_is_tried_again_as_often_as_said(place):
    assert measure(Component("slow_things.second_time", retries=1, log="log"), "C", "N")[0][0] == 1.0
    assert log().count("C") == 2
    assert measure(Component("slow_things.second_time", log="other"), "C")[1] == ["RuntimeError: not yet"]
    assert log("other") == ["C"]


def test_a_process_that_dies_is_the_failure_of_its_sequence_alone(place):
    values, errors = measure(Component("slow_things.die", workers=2, cache=False), "C", "N", "O")
    assert errors == ["RuntimeError: the worker process ended with status -11", "", ""]
    assert values[1:] == [1.0, 1.0]


def test_values_are_kept_for_later_runs_and_failures_are_not(place):
    for again in range(2):
        component = Component("slow_things.length", cache="values.sqlite", log="log")
        values, errors = measure(component, "CC", "N")
        assert values[0] == 2
        assert errors[1] == "ValueError: no such molecule"
        assert log() == ["CC", *["N"] * (again + 1)]
    other = [
        Component("slow_things.length", cache="values.sqlite", log="log", factor=2),
        Component("slow_things.length", cache="others.sqlite", log="log"),
        Component("slow_things.length", cache=False, workers=1, log="log"),
        Component("slow_things.length", log="log"),
    ]
    assert [measure(component, "CC")[0] for component in other] == [[4], [2], [2], [2]]
    assert log().count("CC") == 5
    [(value, _)] = other[1].measure(["CC"], Modality.AMINO_ACID)  # the same letters, and something else
    assert (value, log().count("CC")) == (2, 6)


def test_where_values_are_kept_by_default(place):
    assert default_file() == place / "cache" / "lobster" / "oracles.sqlite"
    for _ in range(2):
        measure(Component("slow_things.length", workers=1, log="log"), "CC")
        measure(Component("command", command="expr length {smiles}"), "CC")
    assert default_file().is_file()
    assert log() == ["CC"]


def test_another_text_of_the_function_or_of_a_file_is_another_oracle(place):
    def asked(component) -> int:
        before = len(log())
        measure(component, "CC")
        return len(log()) - before

    assert [asked(Component("slow_things.length", cache=True, log="log")) for _ in range(2)] == [1, 0]
    (place / "slow_things.py").write_text(MODULE.replace("factor * len", "2 * factor * len"))
    del sys.modules["slow_things"]
    assert asked(Component("slow_things.length", cache=True, log="log")) == 1
    Path("score.py").write_text("open('log.txt', 'a').write('x ')\nprint(1)")
    component = Component("command", command=f"{sys.executable} score.py {{smiles}}")
    assert [asked(component), asked(component)] == [1, 0]
    before = component.version()
    Path("score.py").write_text("open('log.txt', 'a').write('x ')\nprint(1.5)")
    assert component.version() != before
    assert measure(component, "CC")[0] == [1.5]


def test_a_batch_goes_in_parts(place):
    component = Component("slow_things.lengths", batch=True, workers=2, batch_size=3, cache=False, log="log")
    values, errors = measure(component, *("C" * n for n in range(1, 8)), "N")
    assert values[:7] == [1, 2, 3, 4, 5, 6, 7]
    assert errors[7] == "TypeError: expected a number, got None"
    assert sorted(log()) == ["2", "3", "3"]
    even = Component("slow_things.lengths", "even", batch=True, workers=2, cache=False, log="even")
    measure(even, *("C" * n for n in range(1, 8)))
    assert sorted(log("even")) == ["3", "4"]
    here = Component("slow_things.lengths", "here", batch=True, cache="values.sqlite", log="here")  # no process
    measure(here, *("C" * n for n in range(1, 8)))
    assert log("here") == ["7"]


def test_a_sequence_is_an_argument_and_no_shell_reads_it(place):
    Path("show.py").write_text("import sys\nopen('log', 'w').write(repr(sys.argv[1:]))\nprint('hello')\nprint(0.25)\n")
    evil = "C; touch owned $(touch owned) `touch owned` > owned {input} 'x"
    component = Component(
        "command", command=f"{sys.executable} show.py --smiles={{smiles}} 'a b' {{smiles}}", cache=False
    )
    assert measure(component, evil) == ([0.25], [""])
    assert Path("log").read_text() == repr([f"--smiles={evil}", "a b", evil])
    assert not Path("owned").exists()


TABLE = """
import csv, sys
smiles = open(sys.argv[1]).read().split()
rows = [("sequence", "affinity"), *((s, -len(s)) for s in reversed(smiles) if s != "N")]
csv.writer(open(sys.argv[2], "w")).writerows(row if "named" in sys.argv else row[1:] for row in rows)
"""


def test_a_command_may_read_a_file_and_write_a_table(place):
    Path("table.py").write_text(TABLE)
    command = f"{sys.executable} table.py {{input}} {{output}}"
    named = Component("command", command=f"{command} named", column="affinity", cache=False)
    assert measure(named, "C", "N", "CCC")[0][::2] == [-1, -3]
    assert measure(named, "C", "N")[1] == ["", "ValueError: it is not in the table"]
    ordered = Component("command", command=command, column="affinity", cache=False)
    assert measure(ordered, "CC", "CC")[0] == [-2, -2]
    assert "1 rows for 2 sequences" in measure(ordered, "C", "N")[1][0]
    assert "no column 'value' but affinity" in measure(Component("command", command=command, cache=False), "C")[1][0]
    nothing = Component("command", command="true {input} {output}", cache=False)
    assert measure(nothing, "C")[1] == ["ValueError: it wrote no {output}"]


def test_what_a_command_says_when_it_fails(place):
    Path("fail.sh").write_text("echo first >&2; echo 'no receptor' >&2; exit 3")
    [error] = measure(Component("command", command="bash fail.sh {smiles}", cache=False), "C")[1]
    assert error == "RuntimeError: bash ended with status 3: no receptor"
    assert measure(Component("command", command="echo {smiles}", cache=False), "C")[1] == [
        "ValueError: 'C' is no number"
    ]


def test_modalities_of_a_command(place):
    assert not Component("command", command="expr length {smiles}").applies_to(Modality.AMINO_ACID)
    every = Component("command", command="expr length {sequence}")
    assert all(map(every.applies_to, Modality))
    own = Component("command", command="expr length {sequence}", modality="amino_acid")
    assert [m for m in Modality if own.applies_to(m)] == [Modality.AMINO_ACID]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{kind: command}", "command: missing a required argument: 'command'"),
        ("{kind: command, command: expr length}", "expected {smiles} or {sequence}, or {input} and {output}"),
        ("{kind: command, command: 'expr {smiles} {input}'}", "expected {smiles} or {sequence}, or {input} and"),
        ("{kind: command, command: 'expr {input}'}", "expected {smiles} or {sequence}, or {input} and {output}"),
        ("{kind: command, command: 'no-such-program {smiles}'}", "there is no program 'no-such-program'"),
        ('{kind: command, command: "expr \'{smiles}"}', "cannot be split into words: No closing quotation"),
        ("{kind: command, comand: 'expr {smiles}'}", "key 'comand' is unknown: the nearest that exists is 'command'"),
        ("{kind: command, command: 'expr {smiles}', worker: 2}", "key 'worker' is unknown: .* 'workers'"),
        ("{kind: command, command: 'expr {smiles}', workers: 0}", "workers is 0, expected a whole number, at least 1"),
        ("{kind: command, command: 'expr {smiles}', workers: 1.5}", "workers is 1.5, expected a whole number"),
        ("{kind: command, command: 'expr {smiles}', timeout: soon}", "timeout is 'soon', expected a number"),
        ("{kind: command, command: 'expr {smiles}', timeout: -1}", "timeout is -1, expected a number above 0"),
        ("{kind: command, command: 'expr {smiles}', batch_size: 8}", "batch_size is for what takes many sequences"),
        ("{kind: command, command: 'expr {smiles}', cache: 5}", "cache is 5, expected a file, true or false"),
        ("{kind: command, command: 'expr {smiles}', cache: slow_things.py}", "cache 'slow_things.py' cannot be used"),
        ("{kind: command, command: 'expr {smiles}', modality: amino_acid}", "is amino_acid, expected SMILES"),
        (
            "{kind: command, command: 'expr {smiles}', batch: true}",
            "batch is True, expected true or false, of a function",
        ),
        ("{kind: url}", "url: missing a required argument: 'url'"),
        ("{kind: url, url: localhost}", "url is 'localhost', expected http://"),
        ("{kind: qed, cache: true}", "qed: cache is for oracles and functions of your own"),
        ("{kind: os.path.isabs, batch_size: 8}", "batch_size is for what takes many sequences"),
        ("{kind: subprocess.call, timeout: 8}", "timeout is how an oracle is asked, and a parameter of the function"),
    ],
)
def test_a_wrong_description_is_explained_in_one_line(place, text, message):
    file = place / "scoring.yaml"
    file.write_text(f"components: [{text}]")
    with pytest.raises(ScoringError, match=message) as error:
        ScoringFunction.from_yaml(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("command", [["a", "b"], "don't"])
def test_a_parameter_of_a_function_may_be_called_command(place, command):
    with (place / "slow_things.py").open("a") as module:
        module.write("\ndef takes(sequence, command):\n    return float(len(command))\n")
    component = Component("slow_things.takes", command=command, workers=1, cache=False)
    assert measure(component, "C") == ([float(len(command))], [""])


def test_what_cannot_be_known_again_is_not_kept(place):
    with pytest.raises(ScoringError, match="a later run cannot tell that a lambda, a closure"):
        Component(lambda s: 1.0, "own", cache=True)
    assert measure(Component(lambda s: 1.0, "own", workers=1), "C") == ([1.0], [""])
    assert not default_file().exists()


def test_in_yaml_and_pickled(place):
    file = place / "scoring.yaml"
    file.write_text(
        """
        components:
          - {kind: slow_things.length, workers: 2, timeout: 20, cache: true, log: log, transform: {kind: step, low: 2}}
          - {kind: command, name: size, command: "expr length {smiles}", transform: {kind: linear, low: 0, high: 10}}
        """
    )
    scoring = ScoringFunction.from_yaml(file)
    scores = scoring.score(["C", "CCCCC"], "SMILES")
    assert [score.parts for score in scores] == [{"length": 0, "size": 0.1}, {"length": 1, "size": 0.5}]
    again = pickle.loads(pickle.dumps(scoring))
    assert again.score(["C", "CCCCC"], "SMILES") == scores
    assert sorted(log()) == ["C", "CCCCC"]
    assert again.score(["CCCC"], "SMILES")[0].values == {"length": 4, "size": 4}


def test_a_line_says_how_far_it_is_where_it_takes_long(place, capsys):
    def slow(sequence):
        time.sleep(0.6)
        return 1.0

    measure(Component(slow, "docking", workers=1, cache=False), *("C" * n for n in range(1, 6)))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.fullmatch(r"docking: [1-4] of 5 sequences, 0 failed, \d+ s", lines[0])
    measure(Component(slow, "quick", cache=False), "C")
    assert not capsys.readouterr().err


def test_an_oracle_that_fails_on_everything_ends_the_run(tiny_ume):
    scoring = ScoringFunction([Component("command", "docking", command="false {smiles}", cache=False)])
    reward = UmeRewardFunction(tiny_ume, scoring=scoring)
    with pytest.warns(UserWarning, match="component 'docking' failed on .*false ended with status 1"):
        assert reward(["CCO", "CCN"]) == [0, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was said
        assert reward(["CCO", "CCN"]) == [0, 0]
        with pytest.raises(RuntimeError, match="component 'docking' failed on every sequence of 3 calls in a row"):
            reward(["CCO", "CCN"])


def test_a_whole_reward_uses_what_is_kept(tiny_ume, place):
    component = {"kind": "slow_things.length", "cache": "values.sqlite", "log": "log", "transform": Step(low=2)}
    for _ in range(2):
        reward = UmeRewardFunction(tiny_ume, scoring={"components": [component]})
        assert reward(["OCC", "CCO", "C"]) == [10, 10, 0]
    assert log() == ["CCO", "C"]


def beside(function, *arguments) -> multiprocessing.Process:
    """Start a process of a training: a fork, which need not import everything again."""
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    return process


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_end_leaves_no_processes_and_what_was_said_is_kept(place, how):
    Path("hang.sh").write_text(
        "[ $1 = C ] && echo 7 && exit\nsleep 300 &\necho $! >> pids.txt\necho $PPID >> pids.txt\nwait\n"
    )
    oracle = {"kind": "command", "command": "bash hang.sh {smiles}", "workers": 2, "cache": "values.sqlite"}
    training = beside(lambda: measure(Component(**oracle), "C", "N", "O"))
    for _ in range(600):
        if len(log("pids")) == 4:
            break
        time.sleep(0.1)
    time.sleep(1.5)  # what was said is written once a second
    os.kill(training.pid, how)
    training.join(30)
    assert training.exitcode
    assert len(log("pids")) == 4
    assert gone(list(map(int, log("pids"))))
    assert measure(Component(**oracle | {"timeout": 1}), "C")[0] == [7]
    assert len(log("pids")) == 4


def test_several_processes_share_a_file(place):
    oracle = {"kind": "slow_things.length", "cache": "values.sqlite", "log": "log"}

    def train(number):
        component = Component(**oracle)
        for start in range(20):
            measure(component, *["C" * (1 + start + 20 * number)] * 3, "O" * (start + 1))

    trainings = [beside(train, number) for number in range(3)]
    for training in trainings:
        training.join(100)
    assert [training.exitcode for training in trainings] == [0, 0, 0]
    before = len(log())
    assert measure(Component(**oracle), *("C" * n for n in range(1, 61)))[0] == list(range(1, 61))
    assert len(log()) == before


def test_a_cache_that_fails_later_is_told_and_done_without(place):
    component = Component("slow_things.length", cache="values.sqlite", log="log")
    Path("values.sqlite").write_bytes(b"no longer a database" * 100)
    with pytest.warns(
        UserWarning, match="length: its cache cannot be read, values are neither known nor kept: file is"
    ):
        assert measure(component, "CC")[0] == [2]
    assert measure(component, "CC")[0] == [2]


def test_a_cache_that_cannot_be_written_to_is_read_on(place):
    component = Component("slow_things.length", cache="values.sqlite", log="log")
    measure(component, "CC", "CCC")
    with sqlite3.connect("values.sqlite") as connection:
        connection.execute("CREATE TRIGGER shared BEFORE INSERT ON stored BEGIN SELECT RAISE(FAIL, 'read only'); END")
    with pytest.warns(UserWarning, match="length: its cache cannot be written to, new values are not kept: read only"):
        measure(component, "C", "CC")
    assert measure(component, "C", "CC", "CCC")[0] == [1, 2, 3]
    assert log() == ["CC", "CCC", "C", "C"]


def test_a_constant_beside_a_function_makes_it_another_oracle(place, tmp_path_factory):
    def counted(folder, element):
        (folder / "counting.py").write_text(f"ELEMENT = {element!r}\n\ndef count(s):\n    return s.count(ELEMENT)\n")
        program = f"""if True:
            from lobster.constants import Modality
            from lobster.scoring import Component
            found = Component("counting.count", cache="{place}/values.sqlite").measure(["CCN", "CCO"], Modality.SMILES)
            print([one.value for one in found])"""
        return subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True).stdout

    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    assert counted(one, "N") == "[1.0, 0.0]\n"
    assert counted(other, "O") == "[0.0, 1.0]\n"
    assert counted(one, "C") == "[2.0, 2.0]\n"


def test_a_parameter_called_module_tells_oracles_apart(place):
    with (place / "slow_things.py").open("a") as module:
        module.write("\ndef takes(sequence, module):\n    return float(len(module))\n")
    for module in ("a", "bc"):
        assert measure(Component("slow_things.takes", module=module, cache="values.sqlite"), "C")[0] == [len(module)]


def test_many_values_are_found_at_once(place):
    stored = StoredValues("values.sqlite")
    values = {"C" * n: float(n) for n in range(1, 1301)}
    stored.add("an oracle", values)
    assert stored.find("an oracle", values) == values
    assert stored.find("another", values) == {}
