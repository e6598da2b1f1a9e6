import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyhmmer.easel import Alphabet, TextSequence
from pyhmmer.hmmer import hmmalign

from lobster.constants import Modality
from lobster.pretraining.__main__ import main
from lobster.scoring import Component, ScoringError, ScoringFunction
from lobster.scoring.families import FREQUENCIES, RESIDUES, Profile, find_relatives, read_database
from lobster.sequences import SequenceFileError

# Human SUMO1, whose relatives in the tests are written at random: a third of the residues replaced, but for a conserved part.
QUERY = "MSDQEAKPSTEDLGDKKEGEYIKLKVIGQDSSEIHFKVKMTTHLKKLKESYCQRQGVPMNSLRFLFEGQRIADNHTPKELGMEEEDVIEVYQEQTGGHSTV"
CONSERVED = range(60, 75)


def relatives_of(query: str, count: int, rng: np.random.Generator) -> list[str]:
    rows = np.array([list(query)] * count)
    changed = rng.random(rows.shape) < 1 / 3
    changed[:, CONSERVED] = False
    rows[changed] = rng.choice(list(RESIDUES), size=int(changed.sum()), p=FREQUENCIES / FREQUENCIES.sum())
    return ["".join(row) for row in rows]


def unrelated(count: int, rng: np.random.Generator) -> list[str]:
    frequencies = FREQUENCIES / FREQUENCIES.sum()
    return ["".join(rng.choice(list(RESIDUES), size=120, p=frequencies)) for _ in range(count)]


def fasta(sequences: list[str]) -> str:
    return "".join(f">s{i} of a test\n{sequence}\n" for i, sequence in enumerate(sequences))


@pytest.fixture(scope="module")
def relatives() -> list[str]:
    return relatives_of(QUERY, 40, np.random.default_rng(0))


@pytest.fixture(scope="module")
def profile(relatives: list[str]) -> Profile:
    return Profile.from_relatives(QUERY, relatives)


def test_relatives_are_found_where_they_lie(relatives, tmp_path):
    rng = np.random.default_rng(1)
    flank, *others = unrelated(200, rng)
    file = tmp_path / "database.fasta.gz"
    file.write_bytes(gzip.compress(fasta([*others, *(flank + relative for relative in relatives[:10])]).encode()))
    found = find_relatives(QUERY, file)
    assert {name.partition("/")[0] for name, _ in found} == {f"s{i}" for i in range(199, 209)}
    assert all(
        sequence in relatives[i] for i in range(10) for name, sequence in found if name.startswith(f"s{199 + i}/")
    )
    name, sequence = found[0]
    first, last = map(int, name.partition("/")[2].split("-"))
    assert last - first + 1 == len(sequence)
    assert first > 100
    file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
    assert find_relatives(QUERY, read_database(file.with_suffix(""))) == found


def test_nothing_is_found_where_there_is_nothing(tmp_path):
    (tmp_path / "database.fasta").write_text(fasta(unrelated(50, np.random.default_rng(2))))
    assert find_relatives(QUERY, tmp_path / "database.fasta") == []


def test_a_database_that_was_cut_is_refused(tmp_path):
    whole = gzip.compress(fasta(unrelated(50, np.random.default_rng(2))).encode())
    (tmp_path / "cut.fasta.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SequenceFileError, match=r"cut\.fasta\.gz is no FASTA file of proteins, plain or gzipped"):
        read_database(tmp_path / "cut.fasta.gz")


def test_the_command_writes_over_nothing_that_it_reads_and_compresses(tmp_path):
    database = tmp_path / "database.fasta"
    database.write_text(fasta(unrelated(5, np.random.default_rng(2))))
    before = database.read_text()
    with pytest.raises(ValueError, match=r"database\.fasta is what is read: name another output"):
        main(["relatives", "--query", QUERY, "--database", str(database), "--output", str(database)])
    assert database.read_text() == before
    main(["relatives", "--query", QUERY, "--database", str(database), "--output", str(tmp_path / "found.fasta.gz")])
    assert gzip.decompress((tmp_path / "found.fasta.gz").read_bytes()).decode() == f">query\n{QUERY}\n"


def test_without_relatives_blosum62_is_what_is_left():
    from Bio.Align import substitution_matrices

    blosum = substitution_matrices.load("BLOSUM62")
    alone = Profile.from_relatives(QUERY, [])
    expected = [[blosum[one][other] if one != other else 0 for other in RESIDUES] for one in QUERY]
    np.testing.assert_allclose(alone.substitutions(QUERY), np.log(2) / 2 * np.array(expected), atol=1e-9)
    assert alone.emissions.sum(1) == pytest.approx(1)


def test_copies_are_one_relative():
    copies = Profile.from_relatives(QUERY, [QUERY] * 20)
    assert copies.relatives == 20
    assert copies.effective == pytest.approx(1)
    np.testing.assert_allclose(
        copies.substitutions(QUERY), Profile.from_relatives(QUERY, []).substitutions(QUERY), atol=1e-9
    )


def test_conserved_positions_may_not_change(profile):
    assert profile.relatives == 40
    worst = profile.substitutions(QUERY).min(1)
    free = [i for i in range(20, 90) if i not in CONSERVED]
    assert worst[CONSERVED].max() < np.median(worst[free])


def test_a_wild_type_is_aligned_to_the_profile(profile):
    longer = "GGGGGG" + QUERY[:40] + QUERY[41:]
    found = profile.substitutions(longer)
    np.testing.assert_allclose(found[26:40], profile.substitutions(QUERY)[20:34])
    np.testing.assert_allclose(found[60:80], profile.substitutions(QUERY)[55:75])
    np.testing.assert_allclose(found[0], Profile.from_relatives("G", []).substitutions("G")[0])


def test_no_part_of_a_member_is_worth_a_member(profile, relatives):
    others = relatives_of(QUERY, 20, np.random.default_rng(3))
    members = profile.score(others)
    assert profile.score(relatives).mean() > 0.4
    assert members.min() > 0.1
    for cheats in (
        [m[:50] for m in others],
        [m[:75] for m in others],
        [m[50:] for m in others],
        [m[60:75] for m in others],
        [(m[60:75] * 7)[:101] for m in others],
        [(m[:50] * 2) for m in others],
        [m + m for m in others],
        ["".join(np.random.default_rng(4).permutation(list(m))) for m in others],
        ["A" * 101] * 20,
    ):
        found = profile.score(cheats)
        assert (found < members).mean() >= 0.95
        assert found.max() < np.median(members)
        assert (profile.bits(cheats) < profile.bits(others)).all()


def test_no_sequence_is_worth_more_than_a_good_member(profile, relatives):
    consensus = "".join(RESIDUES[i] for i in profile.emissions.argmax(1))
    assert profile.bits([consensus])[0] > profile.bits(relatives).max()
    assert profile.score([consensus])[0] == profile.score(relatives).max()


def test_a_score_depends_on_the_sequence_alone(profile, relatives):
    together = profile.score(relatives)
    assert [profile.score([relative])[0] for relative in relatives[:5]] == pytest.approx(list(together[:5]), abs=1e-6)
    assert profile.score([]).shape == (0,)


def test_what_is_aligned_has_the_profile_s_likelihood(profile, relatives):
    own, other = (
        np.concatenate(profile.log_probabilities(s)) for s in (relatives, unrelated(5, np.random.default_rng(5)))
    )
    assert own.mean() > other.mean() + 0.5
    [columns] = profile.columns([QUERY])
    assert columns.tolist() == list(range(101))


def test_every_kind_of_file_is_a_component(tmp_path, profile, relatives):
    alphabet = Alphabet.amino()
    (tmp_path / "relatives.fasta").write_text(fasta([QUERY, *relatives]))
    with open(tmp_path / "family.hmm", "wb") as file:
        profile.hmm.write(file)
    texts = [TextSequence(name=str(i), sequence=s).digitize(alphabet) for i, s in enumerate([QUERY, *relatives])]
    for format, name in (("afa", "aligned.fasta"), ("stockholm", "aligned.sto")):
        with open(tmp_path / name, "wb") as file:
            hmmalign(profile.hmm, texts).write(file, format)
    found = {}
    for kind, name in (
        ("relatives", "relatives.fasta"),
        ("hmm", "family.hmm"),
        ("alignment", "aligned.fasta"),
        ("alignment", "aligned.sto"),
    ):
        scoring = ScoringFunction([Component("family", **{kind: str(tmp_path / name)})])
        good, bad = (scoring(s, Modality.AMINO_ACID).total for s in (relatives[0], relatives[0][::-1]))
        assert 0 <= bad < 0.1 < good <= 1
        found[name] = good
    assert found["aligned.fasta"] == found["aligned.sto"] == pytest.approx(found["relatives.fasta"], abs=0.15)


def test_a_family_is_read_anew_when_its_file_changes(tmp_path, relatives):
    file = tmp_path / "relatives.fasta"
    file.write_text(fasta([QUERY, *relatives]))
    scoring = ScoringFunction([Component("family", relatives=str(file))])
    before, version = scoring(QUERY, Modality.AMINO_ACID).total, scoring.version()
    file.write_text(fasta([relatives[0], *relatives_of(relatives[0], 40, np.random.default_rng(6))]))
    assert scoring.version() != version
    assert scoring(QUERY, Modality.AMINO_ACID).total < before


@pytest.mark.parametrize(
    ("kind", "text", "error"),
    [
        ("relatives", "HMMER3/f\n", "no FASTA file of proteins"),
        ("relatives", "", "no FASTA file of proteins|no sequences"),
        ("hmm", ">a\nMKTV\n", "no profile of HMMER's"),
        ("alignment", ">a\nMKTV\n>b\nMKT\n", "no alignment of proteins"),
    ],
)
def test_a_file_of_something_else_is_told(tmp_path, kind, text, error):
    (tmp_path / "file").write_text(text)
    with pytest.raises(SequenceFileError, match=error):
        Profile.from_file(**{kind: tmp_path / "file"})
    with pytest.raises(ScoringError, match=error):
        Component("family", **{kind: str(tmp_path / "file")})


def test_a_family_is_one_file(tmp_path):
    with pytest.raises(ScoringError, match="expected one of alignment, hmm, relatives"):
        Component("family")
    with pytest.raises(FileNotFoundError):
        Profile.from_file(hmm=tmp_path / "nothing.hmm")


def test_a_search_needs_an_iteration_and_a_protein(tmp_path):
    (tmp_path / "database.fasta").write_text(fasta([QUERY]))
    with pytest.raises(ValueError, match="iterations is 0"):
        find_relatives(QUERY, tmp_path / "database.fasta", iterations=0)
    with pytest.raises(ValueError, match="is no amino_acid"):
        find_relatives("MK1T", tmp_path / "database.fasta")


def test_real_relatives_foretell_mutants_better_than_blosum62(shared: Callable[[str], Path]):
    import pandas as pd
    from Bio.Align import substitution_matrices

    index = shared("data/eval/dms/index.csv")
    blosum = substitution_matrices.load("BLOSUM62")
    database = read_database(shared("data/protein/train.fasta.gz"))
    wild_types = pd.read_csv(index).set_index("name")["wt"]
    for name in ("BLAT_ECOLX_Stiffler_2015", "IF1_ECOLI_Kelsic_2016"):
        wild_type = wild_types[name]
        family = Profile.from_relatives(wild_type, [s for _, s in find_relatives(wild_type, database)])
        table = pd.read_csv(index.parent / f"{name}.csv")
        values = family.substitutions(wild_type)
        ours = [values[int(m[1:-1]) - 1, RESIDUES.index(m[-1])] for m in table["mutant"]]
        theirs = [blosum[m[0]][m[-1]] for m in table["mutant"]]
        one, other = (pd.Series(s).rank().corr(table["score"].rank()) for s in (ours, theirs))
        assert one > other + 0.1
