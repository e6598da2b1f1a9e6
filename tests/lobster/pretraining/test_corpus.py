"""The cache of token ids that is made of a corpus."""

from pathlib import Path

import numpy as np
import pytest

from lobster.constants import Modality
from lobster.pretraining.corpus import CorpusError, TokenCorpus, cached_corpora

SMILES, PROTEIN = Modality.SMILES, Modality.AMINO_ACID


@pytest.mark.parametrize(("different", "itemsize"), [(2, 1), (256, 1), (257, 2), (1280, 2)])
def test_a_token_takes_one_byte_while_256_kinds_are_enough(tmp_path: Path, different: int, itemsize: int):
    sequences = [list(range(different)), [7], list(range(different - 1, -1, -1))]
    TokenCorpus.of(sequences).save(tmp_path / "corpus")
    corpus = TokenCorpus.load(tmp_path / "corpus")
    assert [corpus[i].tolist() for i in range(len(corpus))] == sequences
    assert corpus.window(2, 1, 0).tolist() == []
    assert corpus.window(0, different - 2, 2).tolist() == [different - 2, different - 1]
    codes = np.load(tmp_path / "corpus" / "codes.npy", mmap_mode="r")
    assert codes.itemsize == itemsize
    assert isinstance(codes, np.memmap)


class Letters:
    """A tokenizer that counts what it is asked for; sequences with an iodine are left out."""

    def __init__(self):
        self.seen = 0

    def __call__(self, modality: Modality, sequences: list[str]) -> list[list[int]]:
        self.seen += len(sequences)
        return [[] if "I" in s else list(map(ord, s)) for s in sequences]


@pytest.fixture
def files(tmp_path: Path) -> dict[Modality, str]:
    rng = np.random.default_rng(0)
    (tmp_path / "s.txt").write_text("\n".join("CNO"[i % 3] * (1 + i % 9) for i in range(3000)))
    (tmp_path / "p.txt").write_text("\n".join("".join(rng.choice(list("ACDE"), 50)) for _ in range(3000)))
    return {SMILES: str(tmp_path / "s.txt"), PROTEIN: str(tmp_path / "p.txt")}


def tokens(corpus: TokenCorpus) -> int:
    return sum(len(corpus[i]) for i in range(len(corpus)))


def test_the_cache_holds_what_the_run_will_read_and_no_more(tmp_path: Path, files: dict[Modality, str]):
    corpora = cached_corpora(tmp_path / "cache", files, Letters(), {SMILES: 2000, PROTEIN: 4000}, 10**6)
    assert 1990 <= tokens(corpora[SMILES]) <= 2000
    assert 3950 <= tokens(corpora[PROTEIN]) <= 4000


def test_the_cache_keeps_to_its_size_in_the_proportions_of_the_run(tmp_path: Path, files: dict[Modality, str]):
    corpora = cached_corpora(tmp_path / "cache", files, Letters(), {SMILES: 20_000, PROTEIN: 60_000}, 8000)
    assert 1990 <= tokens(corpora[SMILES]) <= 2000
    assert 5950 <= tokens(corpora[PROTEIN]) <= 6000


def test_a_corpus_is_tokenised_once_and_is_not_needed_again(tmp_path: Path, files: dict[Modality, str]):
    tokenize, budget = Letters(), {SMILES: 2000, PROTEIN: 4000}
    first = cached_corpora(tmp_path / "cache", files, tokenize, budget, 10**6)
    seen = tokenize.seen + len(files)  # one of each file, to know the tokenizer again
    Path(files[SMILES]).unlink()
    again = cached_corpora(tmp_path / "cache", files, tokenize, budget, 10**6)
    assert tokenize.seen == seen
    assert all(np.array_equal(again[SMILES][i], first[SMILES][i]) for i in range(len(first[SMILES])))


def test_a_cache_that_was_cut_short_is_made_anew(tmp_path: Path, files: dict[Modality, str]):
    budget = {SMILES: 2000, PROTEIN: 4000}
    first = cached_corpora(tmp_path / "cache", files, Letters(), budget, 10**6)
    (tmp_path / "cache" / "contents.json").unlink()
    (tmp_path / "cache" / "SMILES" / "codes.npy").write_bytes(b"half")
    again = cached_corpora(tmp_path / "cache", files, Letters(), budget, 10**6)
    assert tokens(again[SMILES]) == tokens(first[SMILES])


def test_a_cache_of_a_shorter_run_or_of_what_the_file_was_is_made_anew(tmp_path: Path, files: dict[Modality, str]):
    of = {SMILES: files[SMILES]}

    def found(budget: int) -> int:
        return tokens(cached_corpora(tmp_path / "cache", of, Letters(), {SMILES: budget}, 10**6)[SMILES])

    assert found(200) <= 200
    longer = found(2000)
    assert 1990 <= longer <= 2000
    assert found(200) == longer
    with Path(files[SMILES]).open("a") as file:
        file.write("\nCCCN")
    assert found(200) <= 200


def test_a_cache_of_other_files_is_refused(tmp_path: Path, files: dict[Modality, str]):
    cached_corpora(tmp_path / "cache", files, Letters(), {SMILES: 10, PROTEIN: 10}, 10**6)
    with pytest.raises(CorpusError, match="--cache"):
        cached_corpora(tmp_path / "cache", {SMILES: files[SMILES]}, Letters(), {SMILES: 10}, 10**6)


def test_a_cache_of_another_tokenizer_is_refused(tmp_path: Path, files: dict[Modality, str]):
    budget = {SMILES: 100, PROTEIN: 100}
    cached_corpora(tmp_path / "cache", files, Letters(), budget, 10**6)
    with pytest.raises(CorpusError, match="another tokenizer"):
        cached_corpora(tmp_path / "cache", files, lambda m, found: [[1] * len(s) for s in found], budget, 10**6)


def test_sequences_that_the_tokenizer_leaves_out_are_not_in_the_cache(tmp_path: Path):
    (tmp_path / "s.txt").write_text("CC\nII\nOO\n")
    corpora = cached_corpora(tmp_path / "cache", {SMILES: str(tmp_path / "s.txt")}, Letters(), {SMILES: 99}, 99)
    assert len(corpora[SMILES]) == 2
    (tmp_path / "x.txt").write_text("II\n")
    with pytest.raises(CorpusError, match=r"x\.txt leaves nothing"):
        cached_corpora(tmp_path / "other", {SMILES: str(tmp_path / "x.txt")}, Letters(), {SMILES: 99}, 99)
