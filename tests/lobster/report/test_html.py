"""The report as a browser shows it."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from tests.browser import CHROMIUM, Browser

from lobster.cli.main import main
from lobster.report import write_html_report
from lobster.report.run_record import Run, histogram
from lobster.report.sequence_views import atom_positions, draw_molecule
from lobster.scoring.molecules import molecule

MOLECULES = [
    *("CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "CC(C)Cc1ccc(C(C)C(=O)O)cc1", "Cn1c(=O)c2c(ncn2C)n(C)c1=O"),
    *("CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21", "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1", "CCN(CC)CCO"),
    *("c1cc(F)ccc1C(=O)CCCN1CCC(O)(c2ccc(Cl)cc2)CC1", "CCN(CC)CC(=O)Nc1c(C)cccc1C", "C[C@H](N)C(=O)O"),
]
LETTERS = {"amino_acid": "ACDEFGHIKLMNPQRSTVWY", "nucleotide": "acgt"}


def sequences(modality: str, count: int, rng: np.random.Generator) -> list[str]:
    if modality == "SMILES":
        chains = [bin(n // len(MOLECULES))[2:].replace("0", "C").replace("1", "N") for n in range(count)]
        return [chain + MOLECULES[n % len(MOLECULES)] for n, chain in enumerate(chains)]
    lengths = rng.integers(30, 60, count)
    return ["".join(rng.choice(list(LETTERS[modality]), length)) for length in lengths]


def write_folder(
    folder: Path, modality: str = "SMILES", steps: int = 20, batch: int = 8, seed: int = 0, **arguments
) -> Path:
    """Write what a run would have written."""
    rng = np.random.default_rng(seed)
    (folder / "completions").mkdir(parents=True)
    step = np.repeat(np.arange(1, steps + 1), batch)
    score = np.clip(rng.normal(0.4 + 0.4 * step / steps, 0.1), 0, 1)
    frame = pd.DataFrame({"step": step, "prompt": "", "completion": sequences(modality, len(step), rng)})
    outcome = np.where(rng.random(len(step)) < 0.9, "scored", "unparsable")
    frame = frame.assign(sequence=frame.completion, modality=modality, outcome=outcome, pseudo_likelihood=score / 2)
    frame = frame.assign(score=score, qed=score**2, novelty_weight=1.0, reward=10 * score)
    frame.to_parquet(folder / "completions" / "part-00000.parquet")
    with (folder / "metrics.jsonl").open("w") as stream:
        for number, rows in frame.groupby("step"):
            figures = {"reward": rows.reward.mean(), "kl": 0.01 * number, "completions/mean_length": 30.0}
            ours = {
                "valid": 0.9,
                "unique": 1.0,
                "pseudo_likelihood": rows.pseudo_likelihood.mean(),
                "qed": rows.qed.mean(),
            }
            figures |= {f"ume_reward/{name}": value for name, value in ours.items()}
            stream.write(json.dumps({"step": int(number)} | figures) + "\n")
    best = frame.drop_duplicates("sequence").nlargest(100, "score")[["sequence", "modality", "score", "qed"]]
    best.to_csv(folder / "best_sequences.csv", index=False)
    settings = {"model_path": "smiles-policy-3M", "ume_model_path": "ume", "beta": 0.2, "seed": 0} | arguments
    about = {"scoring": {"components": [{"kind": "qed", "name": "<b>qed</b> & more"}]}}
    (folder / "run.yaml").write_text(yaml.safe_dump({"arguments": settings | about, "versions": {"torch": "2"}}))
    return folder


@pytest.fixture(scope="module")
def pages(tmp_path_factory, tiny_ume) -> dict[str, Path]:
    """Reports of a run of each modality, and of two runs."""
    folder = tmp_path_factory.mktemp("runs")
    found = {m: write_html_report(write_folder(folder / m, m), encoder=tiny_ume) for m in ("SMILES", *LETTERS)}
    other = write_folder(folder / "other", steps=12, seed=1, beta=0.05)
    return found | {"two": write_html_report([folder / "SMILES", other], folder / "two.html")}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.mark.parametrize(
    ("page", "width", "dark"),
    [
        *[("SMILES", 390, True), ("SMILES", 1440, False), ("amino_acid", 1440, True)],
        *[("nucleotide", 390, False), ("two", 390, False), ("two", 1440, True)],
    ],
)
def test_it_is_shown_whole_on_any_screen(browser, pages, page, width, dark, tmp_path):
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(pages[page], width, dark)
    assert browser.complaints == []
    assert [address for address in browser.requests if not address.startswith(("file:", "data:"))] == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    overflowing = """[...document.querySelectorAll('figure, .card, .tiles div, h1, table.settings')].filter(
        e => e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth + 1).length"""
    assert browser.run(overflowing) == 0
    charts = browser.run("[...document.querySelectorAll('.chart')].map(c => c.querySelectorAll('svg path').length)")
    assert len(charts) > 8
    assert min(charts) > 2
    assert browser.run("document.querySelectorAll('.card').length") == len(cards(pages[page]))
    browser.screenshot(tmp_path / "page.png", height=900)
    with Image.open(tmp_path / "page.png") as image:
        assert image.width == width
        ground = image.convert("L").getpixel((2, 2))
        assert ground < 64 if dark else ground > 192


def cards(page: Path) -> list[str]:
    return re.findall(r'<article class="card', page.read_text())


CONTRAST = """(() => {
  const linear = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } };
  return Math.min(...[...document.querySelectorAll('p, dt, dd, th, td, a, label, figcaption, .sequence span, .chart text')]
    .filter(e => e.textContent.trim()).map(e => {
      const style = getComputedStyle(e), [a, b] = [light(rgb(e.closest('svg') ? style.fill : style.color)), light(ground(e))];
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); }));
})()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", ["SMILES", "amino_acid"])
def test_all_text_stands_out_from_its_ground(browser, pages, page, dark):
    browser.open(pages[page], 1440, dark)
    assert browser.run(CONTRAST) >= 4.5  # WCAG 2, AA


SHOWN = "[...document.querySelectorAll('.card')].map(c => c.querySelector('.sequence').textContent.trim())"


def test_cards_are_sorted_and_filtered_by_keyboard(browser, pages):
    browser.open(pages["SMILES"])
    by_scaffold = browser.run(SHOWN)
    browser.run("document.getElementById('cluster').focus()")
    browser.press(" ", 32, " ")
    highest = browser.run(SHOWN)
    assert sorted(highest) == sorted(by_scaffold) != highest != by_scaffold
    values = "[...document.querySelectorAll('.card')].map(c => JSON.parse(c.dataset.values).score)"
    assert browser.run(values) == sorted(browser.run(values), reverse=True)
    browser.run("document.getElementById('order').focus()")
    browser.press("ArrowDown", 40)
    assert browser.run(values) == sorted(browser.run(values))
    browser.run("document.getElementById('contains').focus()")
    browser.type("S(N)")
    found = browser.run(SHOWN)
    assert found == [sequence for sequence in highest[::-1] if "S(N)" in sequence]
    assert browser.run("document.getElementById('count').textContent") == f"{len(found)} of {len(highest)}"


def test_clusters_share_a_scaffold(browser, pages):
    browser.open(pages["SMILES"])
    groups = browser.run("""(() => { const found = []; for (const e of document.getElementById('cards').children)
        if (e.matches('h3')) found.push([e.textContent]); else found.at(-1).push(e.dataset.scaffold); return found; })()""")
    for heading, *scaffolds in groups:
        assert heading.endswith(f" · {len(scaffolds)}")
        if not heading.startswith("each alone"):
            assert len(scaffolds) > 1
            assert set(scaffolds) == {heading.split(" · ")[0].replace("no ring", "")}


@pytest.mark.parametrize("page", ["SMILES", "nucleotide"])
def test_sequences_can_be_selected_as_they_are(browser, pages, page):
    browser.open(pages[page])
    first = "document.querySelector('.card .sequence')"
    browser.run(f"getSelection().selectAllChildren({first})")
    selected = browser.run("getSelection().toString().trim()")
    assert selected == browser.run(SHOWN)[0]
    assert re.fullmatch(r"[acgt]{30,}" if page == "nucleotide" else r"\S+", selected)


def test_pointing_at_a_curve_tells_its_values(browser, pages):
    browser.open(pages["two"])
    x, y = browser.run(
        "(b => [b.x + b.width / 2, b.y + b.height / 2])(document.querySelector('.chart svg').getBoundingClientRect())"
    )
    for shift in (0, 3):
        browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + shift, y=y)
    browser.run("new Promise(done => setTimeout(done, 300))")
    told = browser.run("document.querySelector('#vg-tooltip-element')?.textContent ?? ''")
    assert re.search(r"run.*step.*value", told)


def test_what_differs_comes_first(browser, pages):
    browser.open(pages["two"])
    rows = browser.run(
        "[...document.querySelectorAll('#settings tbody')].map(t => [...t.rows].map(r => [...r.cells].map(c => c.textContent)))"
    )
    assert rows[0] == [["beta", "0.2", "0.05"]]
    assert any("<b>qed</b> & more" in row[0] for row in rows[1])  # a name is text, not markup


def test_atoms_are_those_of_rdkit():
    for smiles in [*MOLECULES, "[Na+].[Cl-]", "BrCC1%10CC1CC%10", "*CC[13CH3]", "c1cc[nH]c1"]:
        assert [smiles[p].strip("[") != "" for p in atom_positions(smiles)]
        assert len(atom_positions(smiles)) == molecule(smiles).GetNumAtoms()
    positions = atom_positions("CC(=O)Nc1ccc(O)cc1")
    assert draw_molecule("CC(=O)Nc1ccc(O)cc1", [5 * (p == positions[3]) for p in range(18)]).count("--surprise-5") == 1


def test_ten_thousand_completions_stay_small(tmp_path, tiny_ume):
    for name, modality in (("molecules", "SMILES"), ("proteins", "amino_acid")):
        folder = write_folder(tmp_path / name, modality, steps=1000, batch=10)
        assert write_html_report(folder, encoder=tiny_ume).stat().st_size < 5_000_000
    both = write_html_report([tmp_path / "molecules", tmp_path / "proteins"], tmp_path / "both.html")
    assert both.stat().st_size < 5_000_000


def test_the_first_and_last_steps_are_compared(tmp_path):
    run = Run.load(write_folder(tmp_path / "run", steps=30, batch=8), "run")
    first, last = run.phases.values()
    assert (first.step.min(), last.step.max()) == (1, 30)
    assert first.step.max() < last.step.min()
    assert len(first) == len(last) == 88
    shares = [row["share"] for row in histogram({"a": first.score, "b": last.score}) if row["of"] == "a"]
    assert sum(shares) == pytest.approx(1, abs=1e-3)


def test_a_run_of_one_step_that_wrote_nothing_valid(tmp_path, browser):
    folder = write_folder(tmp_path / "run", steps=1)
    (folder / "best_sequences.csv").write_text("\r\n")
    frame = pd.read_parquet(folder / "completions" / "part-00000.parquet")
    nothing = frame.assign(sequence=None, outcome="unparsable", score=0.0)
    nothing.to_parquet(folder / "completions" / "part-00000.parquet")
    browser.complaints.clear()
    browser.open(write_html_report(folder), 390)
    assert browser.complaints == []
    assert browser.run("document.querySelectorAll('.card').length") == 0


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"metrics\.jsonl does not exist: expected the output_dir of a run"):
        write_html_report(tmp_path)


def test_the_command_says_how_a_run_ended_and_colours_by_its_encoder(tmp_path, tiny_ume):
    tiny_ume.save_pretrained(tmp_path / "ume")
    run = write_folder(tmp_path / "run", steps=2, ume_model_path=str(tmp_path / "ume"))
    (run / "summary.json").write_text(json.dumps({"ended": "the guard stopped it"}))
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "on record; the guard stopped it" in page
    assert 'id="surprise"' in page
    killed = write_folder(tmp_path / "killed", steps=2, ume_model_path="no-such-encoder")
    with pytest.warns(UserWarning, match="the runs' encoder cannot be loaded"):
        assert main(["report", str(killed)]) == 0
    assert "on record; not ended" in (killed / "report.html").read_text()
