"""The walk-throughs and the notebook run as they stand, with fewer steps and samples."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from lobster.cli.common import FAMILY
from lobster.shipped import assets

ROOT = Path(__file__).parents[1]
FEWER = {
    r"(max_steps[ =])\d+": r"\g<1>2",
    r"(--count )\d+": r"\g<1>20",
    r"((?:batch_size|num_generations)[ =])\d+": r"\g<1>4",
}
MOLECULES = "id,smiles\n1,CC(=O)Oc1ccccc1C(=O)O\n2,OC(=O)c1ccccc1OC(C)=O\n3,C1CC\n4,COc1ccc(CCNC(=O)C2CC2)cc1\n"


def shortened(code: str) -> str:
    for pattern, fewer in FEWER.items():
        code = re.sub(pattern, fewer, code)
    return code


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with what the walk-throughs begin with, in which `lobster` is this one."""
    monkeypatch.chdir(tmp_path)
    Path("molecules.csv").write_text(MOLECULES)
    subprocess.run(["bash", "-c", FAMILY], check=True)
    subprocess.run("head -2 database.fasta > protein.fasta", shell=True, check=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "lobster").write_text(f'#!/bin/sh\nexec {sys.executable} -m lobster "$@"\n')
    (tmp_path / "bin" / "lobster").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize(
    ("page", "left"),
    [
        ("walkthrough_policy.md", ["comparison.html", "after.txt", "runs/in_python/model.safetensors"]),
        ("walkthrough_family.md", ["runs/family/report.html"]),
        ("walkthrough_screen.md", ["screen.csv"]),
    ],
)
def test_a_walkthrough_runs(page, left, here, capsys):
    if page == "walkthrough_policy.md":
        shutil.copytree(assets() / "smiles-policy-3M", "my-policy")
    names: dict = {}
    for language, code in re.findall(r"^```(bash|python)\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.M | re.S):
        if language == "python":
            exec(compile(shortened(code), page, "exec"), names)
        else:
            done = subprocess.run(["bash", "-ec", shortened(code)], capture_output=True, text=True)
            assert done.returncode == 0, f"{code}\n{done.stderr}"
    for file in left:
        assert (here / file).stat().st_size > 0


def test_the_notebook_runs(tmp_path):
    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "clear the outputs before committing"
    for cell in notebook.cells:
        cell.source = shortened(cell.source) if cell.cell_type == "code" else cell.source
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output["data"] for output in outputs if "data" in output]
    printed = "".join(
        output["text"] for output in outputs if output["output_type"] == "stream" and output["name"] == "stdout"
    )
    assert re.search(r"^step 2/2 .* reward ", printed, re.M)
    assert any("<iframe srcdoc=" in data.get("text/html", "") for data in shown)
    assert sum("image/png" in data for data in shown) == 2
    assert (tmp_path / "runs" / "quickstart" / "report.html").is_file()
