"""The code blocks of the documentation run, on a CPU, with few steps."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "README.ko.md",
    "src/lobster/rl_training/README.md",
    "docs/scoring.md",
    "docs/oracles.md",
    "docs/optimise.md",
    "docs/report.md",
)


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_every_python_block_runs(page, tmp_path, monkeypatch):
    assert blocks(page), f"{page} shows no Python"
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks(page):  # a block may go on from those before it
        quick = re.sub(r"max_steps=\d+", "max_steps=2", re.sub(r"budget=\d+", "budget=30", block))
        exec(compile(quick, page, "exec"), names)


def test_both_readmes_show_the_same_programs():
    assert blocks("README.md") == blocks("README.ko.md")


@pytest.mark.parametrize(
    "page",
    [
        *PAGES,
        "examples/README_RL_TRAINING.md",
        "docs/reward_shaping.md",
        "docs/models.md",
        "docs/encoders.md",
        "docs/cli.md",
        "docs/cluster.md",
        "docs/families.md",
        "docs/pmo.md",
        "benchmarks/README.md",
        "examples/cluster/README.md",
        "docs/walkthrough_policy.md",
        "docs/walkthrough_family.md",
        "docs/walkthrough_screen.md",
    ],
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"
