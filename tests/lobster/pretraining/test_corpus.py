"""Reading corpus files, and the batches that a run makes of them."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from lobster.constants import Modality
from lobster.pretraining.corpus import Batches, CorpusError, read_sequences

SMILES, PROTEIN = Modality.SMILES, Modality.AMINO_ACID
CORPORA = {
    SMILES: ["C" * n for n in (1, 2, 3, 5, 8, 13, 21, 34)] * 5,
    PROTEIN: ["ACDEFGHIKLMNPQRSTVWY"[: 4 + n % 16] * (1 + n % 3) for n in range(60)],
}


@pytest.mark.parametrize(
    ("text", "sequences"),
    [
        ("CCO\nc1ccccc1\n", ["CCO", "c1ccccc1"]),
        ("CCO", ["CCO"]),
        ("\n  CCO \n\n\nCC\n\n", ["CCO", "CC"]),
        ("CCO ethanol\nCC\tethane\n", ["CCO", "CC"]),
        ("CCO\r\nCC\r\n", ["CCO", "CC"]),
        (">a b\nMKT\nVRQ\n>c\nGG\n", ["MKTVRQ", "GG"]),
        (">a\r\nMKT\r\n\r\nVRQ\r\n", ["MKTVRQ"]),
        (">a\n>b\nMKT\n>c\n", ["MKT"]),
        ("\n>a\nMKT", ["MKT"]),
    ],
)
@pytest.mark.parametrize("suffix", [".txt", ".fasta.gz"])
def test_fasta_and_lines_are_read_plain_and_gzipped(tmp_path: Path, text: str, sequences: list[str], suffix: str):
    file = tmp_path / f"corpus{suffix}"
    file.write_bytes(gzip.compress(text.encode()) if suffix.endswith(".gz") else text.encode())
    assert read_sequences(file) == sequences
    assert read_sequences(str(file)) == sequences


@pytest.mark.parametrize("text", ["", "\n \n\r\n", ">only\n>headers\n"])
def test_file_without_sequences_is_named(tmp_path: Path, text: str):
    (tmp_path / "empty.txt").write_text(text)
    with pytest.raises(CorpusError, match=r"empty\.txt holds no sequences"):
        read_sequences(tmp_path / "empty.txt")


GZIPPED = gzip.compress(b"".join(b"C" * (n % 50) + b"O\n" for n in range(500)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("random.txt", bytes(range(256)) * 4),
        ("gzip.txt", GZIPPED),
        ("plain.gz", b"CCO\n"),
        ("cut.gz", GZIPPED[: len(GZIPPED) // 2]),
        ("damaged.gz", GZIPPED[:12] + bytes(range(255, 155, -1)) + GZIPPED[112:]),
        ("binary.gz", gzip.compress(bytes(range(256)))),
    ],
)
def test_binary_rubbish_is_named(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=name):
        read_sequences(tmp_path / name)


@pytest.mark.parametrize("name", ["absent.txt", "absent.fasta.gz"])
def test_missing_file_is_named(tmp_path: Path, name: str):
    with pytest.raises(FileNotFoundError, match=name):
        read_sequences(tmp_path / name)


def test_each_item_is_of_one_modality():
    batches = Batches(CORPORA, 20, tokens=64, max_length=64)
    assert len(batches) == 20
    for i in range(len(batches)):
        modality, sequences, _ = batches[i]
        assert sequences
        assert set(sequences) <= set(CORPORA[modality])


@pytest.mark.parametrize("tokens", [1, 40, 64, 500])
def test_padded_tokens_keep_to_the_budget_but_for_single_sequences(tokens: int):
    batches = Batches(CORPORA, 40, tokens=tokens, max_length=64)
    for i in range(len(batches)):
        _, sequences, _ = batches[i]
        assert len(sequences) == 1 or len(sequences) * (max(map(len, sequences)) + 2) <= tokens


def test_every_sequence_is_in_some_batch():
    batches = Batches({PROTEIN: CORPORA[PROTEIN]}, 60, tokens=100, max_length=64)
    assert {s for i in range(len(batches)) for s in batches[i][1]} == set(CORPORA[PROTEIN])


def test_items_follow_from_the_seed_and_their_number_alone():
    one, two, other = (Batches(CORPORA, 20, tokens=64, max_length=20, seed=seed) for seed in (3, 3, 4))
    forward = {i: one[i] for i in range(20)}
    backward = {i: two[i] for i in reversed(range(20))}
    for i in range(20):
        assert forward[i][:2] == backward[i][:2] == one[i][:2]
        assert forward[i][2].random() == backward[i][2].random()
    assert [forward[i][1] for i in range(20)] != [other[i][1] for i in range(20)]
    assert len({one[i][2].random() for i in range(20)}) == 20


@pytest.mark.parametrize(
    ("mixture", "expected"),
    [
        (None, {SMILES: 20, PROTEIN: 20}),
        ({SMILES: 0.75, PROTEIN: 0.25}, {SMILES: 30, PROTEIN: 10}),
        ({SMILES: 3.0, PROTEIN: 1.0}, {SMILES: 30, PROTEIN: 10}),
        ({PROTEIN: 1.0}, {PROTEIN: 40}),
        ({SMILES: 0.6, PROTEIN: 0.2, Modality.NUCLEOTIDE: 0.2}, {SMILES: 30, PROTEIN: 10}),
    ],
)
def test_mixture_is_the_share_of_the_batches(mixture: dict[Modality, float] | None, expected: dict[Modality, int]):
    batches = Batches(CORPORA, 40, tokens=64, max_length=64, mixture=mixture)
    found = [batches[i][0] for i in range(40)]
    assert {modality: found.count(modality) for modality in set(found)} == expected
    if len(expected) > 1:
        assert len(set(found[:20])) > 1  # mixed, not one modality after the other


def test_mixture_that_leaves_nothing_is_refused():
    with pytest.raises(CorpusError, match=r"mixture.*amino_acid"):
        Batches({PROTEIN: ["MKT"]}, 4, tokens=64, max_length=64, mixture={SMILES: 1.0})


def test_a_small_corpus_is_gone_through_again_evenly():
    batches = Batches({PROTEIN: ["M" * 10, "K" * 20, "T" * 30]}, 30, tokens=1, max_length=64)
    seen = [batches[i][1][0][0] for i in range(30)]
    assert {letter: seen.count(letter) for letter in "MKT"} == {"M": 10, "K": 10, "T": 10}


def test_long_proteins_are_cut_to_random_windows():
    protein = "".join(np.random.default_rng(0).choice(list("ACDEFGHIKLMNPQRSTVWY"), 200))
    batches = Batches({PROTEIN: [protein]}, 30, tokens=64, max_length=22)
    windows = [batches[i][1][0] for i in range(30)]
    assert all(len(window) == 20 and window in protein for window in windows)
    assert len(set(windows)) > 10


def test_smiles_are_never_cut_to_windows():
    smiles = "C" + "CO" * 50
    batches = Batches({SMILES: [smiles]}, 3, tokens=64, max_length=22)
    assert batches[0][1] == [smiles]
