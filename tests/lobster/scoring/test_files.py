"""Tables of scores: each line once, however the writing ends, in flat memory."""

import json
import tracemalloc

import pandas as pd
import pytest

from lobster.scoring import Scorer
from lobster.scoring.files import score_file

LINES = ["CCO ethanol", "C1CC", "", "c1ccccc1O", "MKTVRQERLKSIVRILERSKEPVSG"]


@pytest.fixture
def scorer(tiny_ume):
    return Scorer(tiny_ume)


@pytest.fixture
def some(tmp_path):
    (tmp_path / "some.smi").write_text("\n".join(LINES * 40) + "\n")
    return tmp_path / "some.smi"


def read(table):
    return {
        ".csv": lambda: pd.read_csv(table),
        ".parquet": lambda: pd.read_parquet(table),
        ".jsonl": lambda: pd.read_json(table, lines=True),
    }[table.suffix]()


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_each_line_is_a_row_with_its_score_or_the_reason(scorer, some, tmp_path, ending):
    table = tmp_path / f"scores{ending}"
    outcomes = score_file(scorer, some, table)
    assert outcomes == {"scored": 120, "undetectable": 40, "empty": 40}
    rows = read(table)
    assert list(rows.record) == list(range(1, 201))
    assert list(rows.outcome[:5]) == ["scored", "undetectable", "empty", "scored", "scored"]
    assert rows["name"][0] == "ethanol"
    assert rows.normal_form[3] == "Oc1ccccc1"
    expected = [item.score for item in scorer.score([line.split()[0] if line else "" for line in LINES])]
    assert rows.score[:5].fillna(0).tolist() == pytest.approx(expected, rel=1e-5)
    assert rows.score.isna().sum() == 80
    assert [file.name for file in tmp_path.glob("scores*")] == [table.name]


class Stops(Scorer):
    """Is interrupted at its third call."""

    calls = 0

    def score(self, *args):
        self.calls += 1
        if self.calls == 3:
            raise KeyboardInterrupt
        return super().score(*args)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_after_an_interruption_the_same_call_goes_on(tiny_ume, scorer, some, tmp_path, ending):
    table = tmp_path / f"scores{ending}"
    with pytest.raises(KeyboardInterrupt, match="stopped after 128 of 200 sequences: the same command goes on"):
        score_file(Stops(tiny_ume), some, table)
    growing = table if ending != ".parquet" else tmp_path / "scores.parquet.jsonl"
    with growing.open("a") as stream:
        stream.write('half a row, "as a kill lea')
    assert score_file(scorer, some, table).total() == 72
    whole = tmp_path / f"whole{ending}"
    score_file(scorer, some, whole)
    assert table.read_bytes() == whole.read_bytes()


def test_a_kill_before_the_first_row_is_gone_on_from(scorer, some, tmp_path):
    class Dies(Scorer):
        def score(self, *args):
            raise SystemError

    with pytest.raises(SystemError):
        score_file(Dies(scorer.encoder), some, tmp_path / "scores.csv")
    assert score_file(scorer, some, tmp_path / "scores.csv").total() == 200


def test_what_exists_or_was_begun_otherwise_is_refused(tiny_ume, scorer, some, tmp_path):
    table = tmp_path / "scores.csv"
    with pytest.raises(KeyboardInterrupt):
        score_file(Stops(tiny_ume), some, table, about={"encoder": "one"})
    with pytest.raises(ValueError, match=r"begun with other settings \(encoder one → two, modality None → SMILES\)"):
        score_file(scorer, some, table, modality="SMILES", about={"encoder": "two"})
    assert score_file(scorer, some, table, overwrite=True).total() == 200
    with pytest.raises(FileExistsError, match=r"scores\.csv exists: name another output, or overwrite it"):
        score_file(scorer, some, table)
    with pytest.raises(ValueError, match=r"'scores.txt': expected one that ends in \.csv, \.parquet, \.jsonl"):
        score_file(scorer, some, "scores.txt")


def test_what_is_to_be_scored_is_not_written_over(scorer, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("smiles\nCCO\n")
    (tmp_path / "link.csv").symlink_to(file)
    for output in (file, tmp_path / "link.csv"):
        with pytest.raises(ValueError, match="is what is read: name another output"):
            score_file(scorer, file, output, overwrite=True)
    assert file.read_text() == "smiles\nCCO\n"


def test_damaged_progress_is_named(tiny_ume, scorer, some, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        score_file(Stops(tiny_ume), some, tmp_path / "scores.csv")
    (tmp_path / "scores.csv.progress").write_text("{")
    with pytest.raises(ValueError, match=r"scores\.csv\.progress is damaged: name another output, or begin anew"):
        score_file(scorer, some, tmp_path / "scores.csv")
    assert score_file(scorer, some, tmp_path / "scores.csv", overwrite=True).total() == 200


def test_a_table_of_another_score_by_the_same_name_is_not_gone_on_with(tiny_ume, some, tmp_path):
    score, table = tmp_path / "score.yaml", tmp_path / "scores.csv"
    score.write_text("components: [{kind: qed}]")
    with pytest.raises(KeyboardInterrupt):
        score_file(Stops(tiny_ume, score), some, table, about={"scoring": str(score)})
    score.write_text("components: [{kind: qed}, {kind: alerts}]")
    with pytest.raises(
        ValueError, match=r"begun with other settings \(scoring .+score.yaml \(sha256 .+ → .+score.yaml"
    ):
        score_file(Scorer(tiny_ume, score), some, table, about={"scoring": str(score)})
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        score_file(Scorer(tiny_ume, score), some, tmp_path / "nowhere/scores.csv")


def test_tokens_explain_a_score(scorer, some, tmp_path):
    score_file(scorer, some, tmp_path / "scores.csv", explain=True)
    row = read(tmp_path / "scores.csv").iloc[0]
    assert json.loads(row.tokens) == ["C", "C", "O"]
    expected = scorer.encoder.token_log_probabilities(["CCO"], "SMILES")[0]
    assert json.loads(row.log_probabilities) == pytest.approx(expected.tolist(), abs=1e-4)
    score_file(scorer, some, tmp_path / "scores.parquet", explain=True)
    assert read(tmp_path / "scores.parquet").tokens[0].tolist() == ["C", "C", "O"]


def test_memory_does_not_grow_with_the_file(tiny_ume, tmp_path, monkeypatch):
    monkeypatch.setattr("lobster.scoring.scorer.CACHE_SIZE", 100)
    peaks = []
    for count in (300, 3000):
        peptides = (
            f"MKT{'ACDEFGHIKL'[n % 10]}{'MNPQRSTVWY'[n // 10 % 10]}{'ACDEFGHIKL'[n // 100 % 10]}" * 2
            for n in range(count)
        )
        (tmp_path / f"{count}.txt").write_text("\n".join(peptides))
        scorer = Scorer(tiny_ume, "pseudo_likelihood")
        tracemalloc.start()
        score_file(scorer, tmp_path / f"{count}.txt", tmp_path / f"{count}.parquet", modality="amino_acid")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 5e6
