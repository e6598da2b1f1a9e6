"""Whole searches with small budgets: what is asked, what is kept, and that a killed one ends as if it had not been."""

import math
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from PIL import Image
from rdkit import Chem

from lobster.cli.main import main
from lobster.model.policies import load_policy
from lobster.optimisation import optimise
from lobster.optimisation.folder import ANSWERS_FILE, MOLECULES_FILE, STATE_FILE, search_folder
from lobster.optimisation.surrogate import TanimotoProcess, fingerprints
from lobster.optimisation.writer import Writer
from lobster.scoring import Component, Scorer, ScoringError, ScoringFunction
from lobster.scoring.molecules import qed
from lobster.sequences import canonical_smiles, parse_smiles
from lobster.sequences.environments import common_neighbourhoods, neighbourhoods, real_neighbourhoods


def nitrogens(smiles: str) -> float:
    return smiles.count("N") / len(smiles)


@pytest.fixture
def search(tiny_policy):
    """Search with the tiny policy."""
    return lambda oracle, budget=60, **more: optimise(oracle, budget, tiny_policy, device="cpu", **more)


def test_each_molecule_is_asked_about_once_and_the_budget_is_kept(search):
    asked = []

    def oracle(smiles):
        asked.append(smiles)
        return nitrogens(smiles)

    result = search(oracle)
    assert result.molecules == asked
    assert len({*asked}) == 60
    assert all(canonical_smiles(smiles) == smiles for smiles in asked)
    assert result.scores == [nitrogens(smiles) for smiles in asked]


def test_it_finds_better_molecules_than_the_policy_writes(search):
    result = search("qed", budget=100)
    assert max(result.scores[20:]) > max(result.scores[:20]) + 0.1
    assert sum(result.scores[-20:]) > 1.2 * sum(result.scores[:20])


def test_the_same_seed_gives_the_same_molecules_and_another_others(search):
    one, two, other = (search(nitrogens, seed=seed).molecules for seed in (0, 0, 1))
    assert one == two != other


def test_molecules_to_start_with_are_asked_about_first_and_bred_from(search, tmp_path):
    start = ["NCCN", "C(CN)N", "no molecule", "[CH2]CN", "NC(N)=NCCN"]
    result = search(nitrogens, start=start, output_dir=tmp_path)
    assert result.molecules[:2] == ["NCCN", "NCCN=C(N)N"]
    assert len({*result.molecules}) == 60
    assert search(nitrogens, start=iter(start), output_dir=tmp_path, resume=True).molecules == result.molecules
    with pytest.raises(ValueError, match=r"start 5 molecules \(.+\) → None"):
        search(nitrogens, output_dir=tmp_path, resume=True)


def test_it_asks_about_no_chemistry_that_neither_real_molecules_nor_the_policy_have(search):
    result = search(nitrogens, budget=200)
    known = real_neighbourhoods().union(common_neighbourhoods(result.molecules[:20]))
    assert all(neighbourhoods(smiles) <= known for smiles in result.molecules[30:])
    assert not all(neighbourhoods(smiles) <= real_neighbourhoods() for smiles in result.molecules)


def test_it_asks_about_no_arynes_and_chains_of_heteroatoms_where_a_score_wants_them():
    unmade = [
        Chem.MolFromSmarts(pattern) for pattern in ("*#;@*", "[N,O,S]-[F,Cl,Br]", "O-O", "C=C=C", "N-N-N-N", "C1NN1")
    ]

    def unlikely(smiles):
        return sum(len(parse_smiles(smiles).GetSubstructMatches(pattern)) for pattern in unmade) + nitrogens(smiles)

    assert max(optimise(unlikely, budget=150, device="cpu").scores[20:]) < 1


def test_chemistry_of_molecules_to_start_with_is_bred_from(search):
    start = ["CC[Te]CCN", "NCC[Te]C"]
    assert not neighbourhoods(start[0]) <= real_neighbourhoods()
    result = search(lambda smiles: smiles.count("[Te]") + nitrogens(smiles), start=start)
    assert sum("[Te]" in smiles for smiles in result.molecules[20:]) > 3


@pytest.mark.parametrize(
    "oracle",
    [
        "qed",
        {"components": [{"kind": "qed"}]},
        Component("qed"),
        ScoringFunction([Component("qed")]),
        Component("qed").measures["SMILES"],
    ],
    ids=["name", "mapping", "component", "function", "python"],
)
def test_an_oracle_can_be_said_in_many_ways(search, oracle):
    assert search(oracle, budget=20).scores == search("qed", budget=20).scores


def test_a_scorer_brings_its_encoder(search, tiny_ume):
    scores = search(Scorer(tiny_ume, "pseudo_likelihood"), budget=20).scores
    assert all(0 < score < 1 for score in scores)
    with pytest.raises(ScoringError, match="asks an encoder: name one"):
        search("pseudo_likelihood")


def test_failures_cost_a_call_and_are_no_score(search):
    def batch(molecules):
        return [ValueError("no conformer") if "O" in smiles else nitrogens(smiles) for smiles in molecules]

    result = search(batch, batch=True)
    assert {math.isnan(score) for score in result.scores} == {True, False}
    assert all(
        math.isnan(score) == ("O" in smiles) for smiles, score in zip(result.molecules, result.scores, strict=True)
    )


@pytest.mark.parametrize(
    ("oracle", "said"),
    [(lambda smiles: 1 / 0, "ZeroDivisionError"), (lambda smiles: math.nan, "expected a finite number, got nan")],
)
def test_an_oracle_that_always_fails_ends_the_search(search, oracle, said):
    with pytest.raises(RuntimeError, match=f"oracle failed on every molecule of 3 rounds in a row: {said}"):
        search(oracle, budget=1000)


def fails_on_oxygen(smiles: str) -> float:
    if "O" in smiles and DOWN:
        raise ConnectionError("the licence server is down")
    return qed(smiles)


DOWN = [True]


@pytest.mark.parametrize("with_encoder", [False, True])
def test_what_failed_has_no_score_and_is_asked_again_after_a_resume(
    search, tiny_ume, tmp_path, monkeypatch, caplog, with_encoder
):
    scoring = ScoringFunction([Component(fails_on_oxygen)])
    oracle = Scorer(tiny_ume, scoring) if with_encoder else scoring
    first = search(oracle, 40, output_dir=tmp_path)
    failed = [math.isnan(score) for score in first.scores]
    assert failed == ["O" in smiles for smiles in first.molecules]
    assert caplog.text.count("the oracle failed on") == 1
    assert pd.read_csv(tmp_path / ANSWERS_FILE, header=None)[0].tolist() == [m for m in first.molecules if "O" not in m]
    monkeypatch.setattr(f"{__name__}.DOWN", [])
    again = search(oracle, 40, output_dir=tmp_path, resume=True)
    assert again.molecules == first.molecules
    assert again.scores == [pytest.approx(qed(smiles)) for smiles in first.molecules]
    assert pd.read_csv(tmp_path / "molecules.csv")["score"].notna().all()


@pytest.mark.parametrize(
    "as_oracle", [lambda f: f, lambda f: ScoringFunction([Component(f)])], ids=["function", "score"]
)
def test_what_an_oracle_said_is_kept_before_it_is_asked_on(search, tmp_path, as_oracle):
    said = []

    def oracle(smiles):
        if len(said) == 7:
            raise KeyboardInterrupt
        said.append(smiles)
        return nitrogens(smiles)

    with pytest.raises(KeyboardInterrupt, match="go on with --resume"):
        search(as_oracle(oracle), 40, output_dir=tmp_path)
    assert pd.read_csv(tmp_path / ANSWERS_FILE, header=None)[0].tolist() == said


@pytest.mark.parametrize("far", [1e8, -1e8])
def test_where_scores_lie_does_not_count(search, far):
    assert sum(search(lambda smiles: qed(smiles) + far, 100).scores[-20:]) / 20 > far + 0.4


def test_what_cannot_be_started_from_is_said(search, caplog):
    with pytest.raises(
        ValueError, match="start: 2 of 2 texts are no molecule in one piece, or radicals, such as '1,CCO,0"
    ):
        search(nitrogens, start=["1,CCO,0.4", "CC(=O)[O-].[Na+]"])
    search(nitrogens, 20, start=["CCO", "CC(=O)[O-].[Na+]"])
    assert "start: 1 of 2 texts are no molecule" in caplog.text


@pytest.mark.parametrize("written", ["CCN", "C(("])
def test_a_policy_that_writes_nothing_new_ends_the_search(tiny_policy, tmp_path, capsys, written):
    writer = Writer(tiny_policy, 1e-2, 0, torch.device("cpu"))
    for _ in range(100):
        writer.learn([written] * 8)
    writer.model.save_pretrained(tmp_path)
    writer.tokenizer.save_pretrained(tmp_path)
    words = ["optimise", "--scoring", "qed", "--policy", str(tmp_path), "--output", str(tmp_path / "found")]
    assert main(words) == 1
    assert "no new molecule came up in 20 rounds: start from another policy" in capsys.readouterr().err


def test_a_lora_adapter_is_refused(tiny_policy, tmp_path):
    peft = pytest.importorskip("peft")
    model, _ = load_policy(tiny_policy)
    peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM")).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a LoRA adapter: merge it into its base"):
        optimise(nitrogens, 20, tmp_path)


def test_an_oracle_that_knows_no_difference_is_asked_on(search):
    assert search(lambda smiles: 0.0).scores == [0.0] * 60


PROGRAM = """
import sys, time
from lobster.optimisation import folder, optimise
folder.SAVE_EVERY = 0
def oracle(smiles):
    time.sleep(0.02)
    return smiles.count("N") / len(smiles)
optimise(oracle, 80, sys.argv[1], sys.argv[2], seed=3, device="cpu")
"""


def test_a_killed_search_goes_on_to_the_same_end(search, tiny_policy, tmp_path):
    running = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tiny_policy), str(tmp_path)])
    while not (answers := tmp_path / ANSWERS_FILE).exists() or answers.read_text().count("\n") < 40:
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    known = answers.read_text().count("\n")
    assert known < 50
    with pytest.raises(FileExistsError, match="holds a search: go on with it"):
        search(nitrogens, 80, output_dir=tmp_path, seed=3)
    with pytest.raises(ValueError, match="other settings: seed 3 → 4"):
        search(nitrogens, 80, output_dir=tmp_path, seed=4, resume=True)
    asked = []

    def oracle(smiles):
        asked.append(smiles)
        return nitrogens(smiles)

    resumed = search(oracle, 80, output_dir=tmp_path, seed=3, resume=True)
    assert resumed == search(nitrogens, 80, seed=3)
    assert len(asked) == 80 - known
    assert pd.read_csv(tmp_path / "molecules.csv")["sequence"].tolist() == resumed.molecules
    assert Image.open(tmp_path / "best_molecules.png").size == (5 * 220, 4 * 180)
    assert search(oracle, 80, output_dir=tmp_path, seed=3, resume=True) == resumed
    assert len(asked) == 80 - known


def test_a_search_goes_on_within_a_larger_budget(search, tmp_path):
    first = search(nitrogens, 40, output_dir=tmp_path)
    asked = []
    both = search(lambda smiles: asked.append(smiles) or nitrogens(smiles), 90, output_dir=tmp_path, resume=True)
    assert both.molecules == [*first.molecules, *asked]
    assert len(asked) == 50
    assert both.best(1)[0][1] >= first.best(1)[0][1]
    assert search(nitrogens, 90, output_dir=tmp_path, resume=True) == both
    with pytest.raises(ValueError, match="other settings: budget 90 → 40"):
        search(nitrogens, 40, output_dir=tmp_path, resume=True)


def test_an_outage_is_gone_on_from_as_if_it_had_not_been(search, tmp_path, monkeypatch):
    monkeypatch.setattr("lobster.optimisation.folder.SAVE_EVERY", 0.0)
    asked = []

    def oracle(smiles):
        asked.append(smiles)
        if len(asked) > 43:
            raise ConnectionError("nobody is there")
        return nitrogens(smiles)

    for _ in range(2):  # it lasts beyond a resume
        with pytest.raises(RuntimeError, match="failed on every molecule of 3 rounds in a row"):
            search(oracle, 100, output_dir=tmp_path, resume=True)
    assert search(nitrogens, 100, output_dir=tmp_path, resume=True) == search(nitrogens, 100)


def test_a_folder_is_written_into_by_one_search_alone(search, tmp_path):
    with (
        search_folder(tmp_path, resume=False),
        pytest.raises(FileExistsError, match="another run writes into it now: let it end, or choose another folder"),
    ):
        search(nitrogens, 20, output_dir=tmp_path, resume=True)
    assert len(search(nitrogens, 20, output_dir=tmp_path).molecules) == 20


def test_a_full_disk_is_told(search, tmp_path):
    (tmp_path / MOLECULES_FILE).symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"no space left on .+: make some and go on with --resume \(resume=True\)"):
        search(nitrogens, 20, output_dir=tmp_path)
    (tmp_path / MOLECULES_FILE).unlink()
    assert search(nitrogens, 20, output_dir=tmp_path, resume=True) == search(nitrogens, 20)


@pytest.mark.parametrize(
    "changed",
    [
        lambda smiles: 1.0,
        {
            "components": [
                {"kind": "qed", "weight": 2},
                {"kind": "sa_score", "transform": {"kind": "linear", "low": 6, "high": 4}},
            ]
        },
    ],
)
def test_another_oracle_for_the_same_search_is_told(search, tmp_path, caplog, changed):
    search("qed", 20, output_dir=tmp_path)
    search("qed", 20, output_dir=tmp_path, resume=True)
    assert not caplog.records
    for times in (1, 2):
        search(changed, 20, output_dir=tmp_path, resume=True)
        assert (
            caplog.text.count("the score has changed since the search began, and of the 20 answers the first are")
            == times
        )


def test_a_line_that_was_half_written_is_asked_again(search, tmp_path):
    whole = search(nitrogens, 40, output_dir=tmp_path)
    (tmp_path / STATE_FILE).unlink()
    with (tmp_path / ANSWERS_FILE).open("a") as stream:
        stream.write("CCN")
    assert search(nitrogens, 40, output_dir=tmp_path, resume=True) == whole


def test_what_is_damaged_is_named_with_the_remedy(search, tmp_path):
    whole = search(nitrogens, 30, output_dir=tmp_path)
    answers, state = tmp_path / ANSWERS_FILE, tmp_path / STATE_FILE
    of_another_release = torch.load(state, weights_only=True)
    del of_another_release["random"]
    for bad in (state.read_bytes()[:1000], b"some text", of_another_release, ["CCO"]):
        state.write_bytes(bad) if isinstance(bad, bytes) else torch.save(bad, state)
        with pytest.raises(ValueError, match=r"state\.pt is damaged: remove it, and the search goes on from answers"):
            search(nitrogens, 30, output_dir=tmp_path, resume=True)
    state.unlink()
    good = answers.read_text()
    answers.write_bytes(b"CC\xff,0.5\n")
    with pytest.raises(ValueError, match=r"answers\.csv is damaged .+: mend it, or choose another folder"):
        search(nitrogens, 30, output_dir=tmp_path, resume=True)
    for bad in ("CCO,0.5,7", "CCO,abc", "CCO"):
        answers.write_text(f"{good}{bad}\n")
        with pytest.raises(ValueError, match=r"answers\.csv, line 31 is .+: expected a SMILES and a number; remove"):
            search(nitrogens, 30, output_dir=tmp_path, resume=True)
    answers.write_text(good)
    assert search(nitrogens, 30, output_dir=tmp_path, resume=True) == whole


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"budget": 0}, "budget is 0: expected a whole number of calls, at least 1"),
        ({"budget": 12.5}, "budget is 12.5: expected a whole number"),
        ({"start": "CCO"}, "start has 'CCO': expected a list of SMILES"),
        ({"start": ["CCO", None]}, "start has None: expected a list of SMILES"),
    ],
)
def test_what_is_no_budget_or_start_is_refused(search, wrong, said):
    with pytest.raises(ValueError, match=said):
        search(nitrogens, **wrong)


def test_the_surrogate_tells_good_from_bad():
    molecules = ["c1ccccc1" + "C" * n for n in range(1, 8)] + ["N" * 1 + "C" * n for n in range(1, 8)]
    scores = torch.tensor([1.0] * 7 + [0.0] * 7)
    mean, deviation = TanimotoProcess(fingerprints(molecules), scores).predict(
        fingerprints(["c1ccccc1CCCCCCCCC", "NCCCCCCCCC", "FC(F)(F)F"])
    )
    assert mean[0] > 0.8
    assert mean[1] < 0.2
    assert deviation[2] > deviation[:2].max()


def test_the_policy_learns_what_it_is_shown_and_keeps_beginnings(tiny_policy):
    from random import Random

    writer = Writer(tiny_policy, 1e-2, 0, torch.device("cpu"))
    losses = [writer.learn(["CCN", "CCN", "CCO", "CCN"]) for _ in range(60)]
    assert losses[-1] < losses[0] / 2
    assert sum(text in ("CCN", "CCO") for text in writer.write(50)) > 25
    spelled = writer.rewrite(["CNO"] * 20, Random(0))
    assert all(text[0] in "CNO" for text in spelled)
    state = writer.state()
    after = writer.write(5)
    writer.restore(state)
    assert writer.write(5) == after


def test_beginnings_read_apart_are_written_on_as_those_read_together(tiny_policy):
    writer = Writer(tiny_policy, 1e-3, 0, torch.device("cpu"))
    texts = [writer.tokenizer("C" * length).input_ids for length in (0, 1, 2, 5, 9, 14, 20, 33)]
    assert writer.passes > 1
    apart = writer._read(texts)
    writer.passes = 1
    together = writer._read(texts)
    assert torch.equal(apart[1], together[1])
    assert torch.allclose(apart[0], together[0], atol=1e-5)
    ids, mask = together[0].argmax(1, keepdim=True), together[1]
    for going in (range(8), (1, 2, 4, 7), (0, 1, 2), (2,)):  # rows that have ended go
        rows = torch.tensor(going)
        mask = torch.cat([mask[rows], torch.ones(len(rows), 1, dtype=mask.dtype)], 1)
        for cache in (apart[2], together[2]):
            cache.batch_select_indices(rows)
        one, other = (writer._next(ids[rows], mask, cache) for cache in (apart[2], together[2]))
        assert torch.allclose(one, other, atol=1e-5)
        ids = other.argmax(1, keepdim=True)


def test_what_is_written_is_the_same_in_a_cache_of_any_kind(tiny_policy):
    writer = Writer(tiny_policy, 1e-3, 0, torch.device("cpu"))
    beginnings = [writer.tokenizer("C" * length).input_ids for length in range(writer.longest - 1)]
    begun = writer.generator.get_state()
    roomy = writer._write_on(beginnings)
    writer.passes = 1
    writer.generator.set_state(begun)
    assert writer._write_on(beginnings) == roomy


def test_the_command_shows_the_best_and_goes_on(tiny_policy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scoring.yaml").write_text("components: [{kind: qed}]\n")
    (tmp_path / "known.smi").write_text("OCC ethanol\n")
    words = [
        "optimise",
        "--scoring",
        "scoring.yaml",
        "--start",
        "known.smi",
        "--budget",
        "20",
        "--output",
        "found",
        "--policy",
        str(tiny_policy),
    ]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "All 20 are in found/molecules.csv, the best drawn in found/best_molecules.png"
    assert pd.read_csv("found/molecules.csv")["sequence"][0] == "CCO"
    assert main(words) == 1
    assert "--resume" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    assert capsys.readouterr().out.splitlines() == lines
