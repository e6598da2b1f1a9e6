"""The command itself: verbs, exit statuses, one-line errors, and what is imported."""

import gc
import subprocess
import sys

import pytest

import lobster
from lobster.cli.common import importing
from lobster.cli.main import VERBS, main, verb_module
from lobster.shipped import shipped_models


@pytest.fixture
def raised(monkeypatch):
    """Let `lobster doctor` raise something."""

    def let(error: BaseException) -> None:
        def run(words):
            raise error

        monkeypatch.setattr(verb_module("doctor"), "run", run)

    return let


def test_the_help_lists_every_verb_and_imports_nothing_heavy():
    code = (
        "import sys; from lobster.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *help_lines, modules = done.stdout.splitlines()
    assert {line.split()[0] for line in help_lines if line.startswith("  ")} >= {*VERBS, "--version", "--debug"}
    assert not {"torch", "transformers", "trl", "numpy", "rdkit", "pandas"} & {*modules.split()}


@pytest.mark.parametrize(
    "words", [["models"], ["score", "--help"], ["sample", "--help"], ["grpo", "--example", "smiles"]]
)
def test_light_verbs_import_nothing_heavy(words):
    code = f"import sys; from lobster.cli.main import main\ntry: main({words})\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert not {"torch", "transformers", "trl", "rdkit", "pandas"} & {*done.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "grpo"])
def test_each_verb_has_help_with_an_example(verb, capsys):
    text = verb_module(verb).parser().format_help()
    assert f"lobster {verb}" in text.split("example:")[1]


def test_garbage_is_not_collected_while_libraries_are_imported_and_is_again_when_that_fails():
    with importing():
        collecting = gc.isenabled()
    assert (collecting, gc.isenabled()) == (False, True)
    assert gc.get_freeze_count()
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()


def test_the_version_is_the_librarys(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"lobster {lobster.__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "usage: lobster"),
        (["adapt", "--output_dir", "x"], "lobster pretrain adapt: error: the following arguments are required"),
        (["dance"], "invalid choice: 'dance'"),
        (["score"], "the following arguments are required: file"),
        (["score", "x.smi", "--modality", "rock"], "invalid choice: 'rock'"),
        (["models", "no-such"], "no model 'no-such' ships: expected one of coding-policy-3M"),
        (["grpo", "--example", "dance"], "invalid choice: 'dance'"),
        (["completion"], "arguments are required: shell"),
        (["pretrain", "dance"], "invalid choice: 'dance'"),
    ],
)
def test_wrong_usage_is_2(words, said, capsys):
    try:
        status = main(words)
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("beta is -1:\n expected more"), "error: beta is -1: expected more"),
        (FileNotFoundError(2, "No such file or directory", "x.smi"), "error: x.smi: No such file or directory"),
        (KeyError("odd"), "error: KeyError: 'odd' (lobster --debug shows the trace)"),
    ],
)
def test_a_failure_is_1_and_one_line(raised, capsys, error, said):
    raised(error)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == f"{said}\n"
    for words in (["--debug", "doctor"], ["doctor", "--debug"]):
        with pytest.raises(type(error)):
            main(words)


def test_an_interruption_is_130(raised, capsys):
    raised(KeyboardInterrupt("stopped at step 3: checkpoint 3 is whole"))
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "\nstopped at step 3: checkpoint 3 is whole\n"


def test_models_are_listed_with_sizes_and_cards(capsys):
    assert main(["models"]) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in shipped_models())
    assert "11,753,984" in table
    assert main(["models", "ume-nano-base-3M"]) == 0
    assert "# ume-nano-base-3M" in capsys.readouterr().out


def test_the_doctor_names_versions_extras_and_runs(capsys, tmp_path):
    assert main(["doctor", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert f"lobster-rl    {lobster.__version__}" in said
    assert "extra peft: " in said
    assert f"{tmp_path} cannot be resumed" in said


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_verbs_and_arguments(shell, capsys, tmp_path):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in [*VERBS, "--explain", "--reward_temperature", "--learning_rate"])
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
