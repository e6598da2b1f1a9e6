"""The pseudo-likelihood engine against naive loops, and what must not change a score."""

import math
import random
import subprocess
import sys
from ast import literal_eval
from copy import deepcopy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer

from lobster.constants import Modality
from lobster.model import Ume, UmeForMaskedLM, pseudo_likelihood
from lobster.model.pseudo_likelihood import Method, masked_positions, mean_log_probabilities, windows
from lobster.tokenization import make_tokenizer

MASK, PAD, K = 8, 6, 4
SMILES = ["C", "CO", "CCO", "C#N", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)[O-]", "ClCCBr", "CN1CCCC1"]
PROTEINS = ["M", "MKTVRQERLKSIVRILERSKEPVSGAQ", "GGGG", "MKVB"]
EXACTLY = {"rel": 1e-5, "abs": 0.0}


def naive(ume: Ume, ids: list[int], passes: list[list[int]]) -> float:
    """Mask the positions of each pass and no others, one row and one forward at a time."""
    log_p = []
    for masked in passes:
        row = torch.tensor([ids])
        row[0, masked] = MASK
        with torch.no_grad():
            logits = ume.model(input_ids=row).logits[0]
        log_p += [float(logits[i].log_softmax(-1)[ids[i]]) for i in masked]
    assert len(log_p) == len(ids) - 2
    return math.exp(sum(log_p) / len(log_p))


def test_every_position_is_masked_exactly_once():
    for n in range(1, 40):
        for stride in range(1, 45):
            passes = masked_positions(n, stride)
            assert sorted(i for positions in passes for i in positions) == list(range(n)), (n, stride)
            assert len(passes) == min(n, stride)
            assert max(map(len, passes)) - min(map(len, passes)) <= 1


@pytest.mark.parametrize(("modality", "sequences"), [(Modality.SMILES, SMILES), (Modality.AMINO_ACID, PROTEINS)])
def test_exact_masks_one_token_at_a_time(tiny_ume: Ume, modality: Modality, sequences: list[str]):
    ids = tiny_ume.tokenize(sequences, modality)
    expected = [naive(tiny_ume, row, [[i] for i in range(1, len(row) - 1)]) for row in ids]
    assert tiny_ume.compute_pseudo_likelihood(sequences, modality, method="exact") == pytest.approx(expected, **EXACTLY)
    assert len({f"{score:.3g}" for score in expected}) == len(sequences)  # the comparison can tell them apart


@pytest.mark.parametrize(("modality", "sequences"), [(Modality.SMILES, SMILES), (Modality.AMINO_ACID, PROTEINS)])
def test_strided_masks_every_fourth_token(tiny_ume: Ume, modality: Modality, sequences: list[str]):
    ids = tiny_ume.tokenize(sequences, modality)
    expected = [naive(tiny_ume, row, [list(range(1 + k, len(row) - 1, K)) for k in range(K)]) for row in ids]
    assert tiny_ume.compute_pseudo_likelihood(sequences, modality) == pytest.approx(expected, **EXACTLY)


def test_stride_follows_the_mask_rate_of_pretraining(tiny_ume: Ume):
    ume = deepcopy(tiny_ume)
    ume.model.config.mask_rate = 0.15
    [ids] = ume.tokenize(["MKTVRQERLKSIVRILERS"], "amino_acid")
    expected = naive(ume, ids, [list(range(1 + k, len(ids) - 1, 7)) for k in range(7)])
    [score] = ume.compute_pseudo_likelihood(["MKTVRQERLKSIVRILERS"], "amino_acid")
    assert score == pytest.approx(expected, **EXACTLY)


def test_methods_agree_on_sequences_of_at_most_four_tokens(tiny_ume: Ume):
    short, long = ["C", "CO", "CCO", "CC=O"], ["CCCCO"]
    strided, exact = (tiny_ume.compute_pseudo_likelihood(short, "SMILES", method=m) for m in ("strided", "exact"))
    assert strided == pytest.approx(exact, **EXACTLY)
    strided, exact = (tiny_ume.compute_pseudo_likelihood(long, "SMILES", method=m) for m in ("strided", "exact"))
    assert strided != pytest.approx(exact, **EXACTLY)


@pytest.fixture(scope="module")
def alone(tiny_ume: Ume) -> dict[str, float]:
    """The score of each SMILES when nothing else is scored with it."""
    return {s: tiny_ume.compute_pseudo_likelihood([s], "SMILES", batch_size=1)[0] for s in SMILES}


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8, 1000])
def test_batch_size_does_not_change_scores(tiny_ume: Ume, alone: dict[str, float], batch_size: int):
    scores = tiny_ume.compute_pseudo_likelihood(SMILES, "SMILES", batch_size=batch_size)
    assert scores == pytest.approx(list(alone.values()), **EXACTLY)


@pytest.mark.parametrize("seed", range(3))
def test_order_neighbours_and_duplicates_do_not_change_scores(tiny_ume: Ume, alone: dict[str, float], seed: int):
    mixed = random.Random(seed).choices(SMILES, k=20)
    scores = tiny_ume.compute_pseudo_likelihood(mixed, "SMILES")
    assert scores == pytest.approx([alone[s] for s in mixed], **EXACTLY)


@pytest.mark.parametrize("method", ["strided", "exact"])
@pytest.mark.parametrize("max_tokens", [1, 30, 64, 200, 100_000])
def test_token_budget_does_not_change_scores(tiny_ume: Ume, max_tokens: int, method: str):
    ids = tiny_ume.tokenize(SMILES, "SMILES")
    expected = [math.log(s) for s in tiny_ume.compute_pseudo_likelihood(SMILES, "SMILES", method=method)]
    assert mean_log_probabilities(tiny_ume.model, ids, MASK, PAD, max_tokens, method) == pytest.approx(
        expected, **EXACTLY
    )


@pytest.mark.parametrize("method", ["strided", "exact", 1])
def test_padded_batches_give_the_scores_of_packed_ones(tiny_ume: Ume, monkeypatch: pytest.MonkeyPatch, method: Method):
    ids = tiny_ume.tokenize(SMILES, "SMILES")
    packed = mean_log_probabilities(tiny_ume.model, ids, MASK, PAD, 200, method)
    monkeypatch.setattr(pseudo_likelihood, "_packs", lambda model: False)  # as on a GPU
    assert mean_log_probabilities(tiny_ume.model, ids, MASK, PAD, 200, method) == pytest.approx(packed, **EXACTLY)


class Watched(UmeForMaskedLM):
    """A network that writes down how many rows and tokens each input has, and has memory for so many rows."""

    rows_that_fit: int = 1000

    def encode_packed(self, runs, at=None):
        rows = sum(map(len, runs))
        if rows > self.rows_that_fit:
            raise torch.OutOfMemoryError(f"{rows} rows")
        self.inputs = [*getattr(self, "inputs", []), (rows, sum(run.numel() for run in runs))]
        return super().encode_packed(runs, at)


@pytest.fixture
def watched(tiny_ume: Ume) -> Ume:
    model = Watched(tiny_ume.model.config)
    model.load_state_dict(tiny_ume.model.state_dict())
    return Ume(model, tiny_ume.tokenizers)


@pytest.mark.parametrize("max_tokens", [10, 30, 64, 200])
def test_no_forward_holds_more_tokens_than_its_budget(watched: Ume, max_tokens: int):
    mean_log_probabilities(watched.model, watched.tokenize(SMILES, "SMILES"), MASK, PAD, max_tokens)
    assert all(rows == 1 or tokens <= max_tokens for rows, tokens in watched.model.inputs)


def test_a_sequence_costs_four_rows_strided_and_one_a_token_exact(watched: Ume):
    watched.compute_pseudo_likelihood(["CCCCCCCCCC"], "SMILES")
    assert sum(rows for rows, _ in watched.model.inputs) == 4
    watched.model.inputs = []
    watched.compute_pseudo_likelihood(["CCCCCCCCCC"] * 3, "SMILES", method="exact")  # duplicates are scored once
    assert sum(rows for rows, _ in watched.model.inputs) == 10


@pytest.mark.parametrize("rows_that_fit", [1, 2, 5])
def test_out_of_memory_halves_the_batch(watched: Ume, alone: dict[str, float], rows_that_fit: int):
    watched.model.rows_that_fit = rows_that_fit
    scores = watched.compute_pseudo_likelihood(SMILES, "SMILES", batch_size=64)
    assert scores == pytest.approx(list(alone.values()), **EXACTLY)
    assert 1 <= max(rows for rows, _ in watched.model.inputs) <= rows_that_fit


def test_out_of_memory_with_one_row_is_raised(watched: Ume):
    watched.model.rows_that_fit = 0
    with pytest.raises(torch.OutOfMemoryError, match="1 rows"):
        watched.compute_pseudo_likelihood(SMILES, "SMILES")


@pytest.mark.parametrize("method", ["strided", "exact"])
def test_scores_are_probabilities(tiny_ume: Ume, method: str):
    for modality, sequences in [("SMILES", SMILES), ("amino_acid", PROTEINS), ("nucleotide", ["acgt", "GATTACA"])]:
        scores = tiny_ume.compute_pseudo_likelihood(sequences, modality, method=method)
        assert all(type(score) is float and 0 < score <= 1 for score in scores)


def test_score_of_a_hopeless_sequence_is_not_zero(tiny_ume: Ume):
    ume = deepcopy(tiny_ume)
    with torch.no_grad():
        ume.model.decoder.bias[52:] = -5000.0
    [score] = ume.compute_pseudo_likelihood(["CCO"], "SMILES")
    assert 0 < score < 1e-300


def test_no_sequences_give_no_scores(tiny_ume: Ume):
    assert tiny_ume.compute_pseudo_likelihood([], "SMILES") == []


def test_fresh_processes_give_identical_scores(tiny_ume: Ume, tmp_path: Path):
    tiny_ume.save_pretrained(tmp_path)
    program = (
        "import sys; from lobster.model import Ume; ume = Ume.from_pretrained(sys.argv[1], device='cpu'); "
        "print(repr(ume.compute_pseudo_likelihood(sys.argv[2:], 'SMILES')))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program, tmp_path, *SMILES], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(literal_eval(runs[0].stdout)) == len(SMILES)


@pytest.mark.parametrize("training", [True, False])
def test_mode_of_the_network_is_restored(tiny_ume: Ume, training: bool):
    ume = deepcopy(tiny_ume)
    ume.model.train(training)
    ume.compute_pseudo_likelihood(SMILES, "SMILES")
    assert ume.model.training is training
    with pytest.raises(ValueError, match="unknown"):
        ume.compute_pseudo_likelihood(SMILES, "SMILES", method="none")
    assert ume.model.training is training


def test_empty_sequence_is_named(tiny_ume: Ume):
    with pytest.raises(ValueError, match=r"sequence 1 has 0 tokens"):
        tiny_ume.compute_pseudo_likelihood(["CCO", ""], "SMILES")
    with pytest.raises(ValueError, match="sequence 1 has no tokens"):
        mean_log_probabilities(tiny_ume.model, [[2, 52, 4], [2, 4]], MASK, PAD, 100)


def test_longest_sequence_is_scored_and_a_longer_one_is_named(tiny_ume: Ume):
    assert len(tiny_ume.compute_pseudo_likelihood(["C" * 62], "SMILES")) == 1
    with pytest.raises(ValueError, match=r"sequence 2 has 63 tokens.* 62 "):
        tiny_ume.compute_pseudo_likelihood(["C", "CC", "C" * 63], "SMILES")


def test_one_string_is_no_list_of_sequences(tiny_ume: Ume):
    with pytest.raises(TypeError, match=r"\['CCO'\]"):
        tiny_ume.compute_pseudo_likelihood("CCO", "SMILES")


def test_unknown_method_is_named(tiny_ume: Ume):
    with pytest.raises(ValueError, match=r"'unmasked'.*strided.*exact"):
        tiny_ume.compute_pseudo_likelihood(["CCO"], "SMILES", method="unmasked")


@pytest.mark.parametrize("batch_size", [0, -3])
def test_batch_size_that_is_not_positive_is_named(tiny_ume: Ume, batch_size: int):
    with pytest.raises(ValueError, match=f"batch_size is {batch_size}"):
        tiny_ume.compute_pseudo_likelihood(["CCO"], "SMILES", batch_size=batch_size)


@pytest.mark.parametrize(
    ("modality", "right", "spellings"),
    [
        (
            "amino_acid",
            "MKTVRQERLK",
            ["mktvrqerlk", "MKTVRQERLK*", "MKTVRQ ERLK\n", ">a b\nMKTVRQ\nERLK\n", "1 MKTVRQERLK 10"],
        ),
        ("nucleotide", "atgcgttag", ["ATGCGTTAG", "AUGCGUUAG", "augcguuag", "ATGCGUUAG", "1 atgcgt\n7 tag"]),
        ("SMILES", "OCC", ["OCC ", "\tOCC\n"]),
    ],
)
def test_spellings_of_one_sequence_score_the_same(tiny_ume: Ume, modality: str, right: str, spellings: list[str]):
    [expected] = tiny_ume.compute_pseudo_likelihood([right], modality)
    assert tiny_ume.compute_pseudo_likelihood(spellings, modality) == [expected] * len(spellings)
    embedded = tiny_ume.embed_sequences([right, *spellings], modality)
    torch.testing.assert_close(embedded, embedded[:1].expand_as(embedded), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("modality", "sequences", "problem"),
    [
        ("amino_acid", ["MKT", "MKT-VRQ"], r"sequence 1: '-' at position 4 .*expected letters of ACDEF"),
        ("amino_acid", ["MK*T"], r"sequence 0: '\*' at position 3"),
        ("nucleotide", ["ACGT", "ACGE"], "sequence 1: 'E' at position 4 .*expected letters of ACGTUN"),
        ("SMILES", ["CC", "CC [Uue]"], r"sequence 1: token ' ' at position 3 .*not in the encoder's vocabulary"),
        ("SMILES", ["CC[99CH3]O"], r"sequence 0: token '\[99CH3\]' at position 3 .*get_vocab"),
        ("SMILES", ["C<mask>"], "sequence 0: token '<' at position 2"),
        ("SMILES", ["CC", None], "sequence 1: expected a string, got None"),
        ("nucleotide", ["A", " "], "sequence 1 has 0 tokens"),
        ("amino_acid", ["M" * 63], "sequence 0 has 63 tokens .*long_sequences='windows'"),
    ],
)
def test_what_the_vocabulary_lacks_is_named(tiny_ume: Ume, modality: str, sequences: list[str], problem: str):
    for score in (tiny_ume.compute_pseudo_likelihood, tiny_ume.embed_sequences):
        with pytest.raises(ValueError, match=problem):
            score(sequences, modality)


def test_what_cannot_be_scored_may_be_nan(tiny_ume: Ume):
    sequences = ["MKT", "", "M" * 63, "MKT-V", None, "MKTV*"]
    scores = tiny_ume.compute_pseudo_likelihood(sequences, "amino_acid", errors="null")
    expected = tiny_ume.compute_pseudo_likelihood(["MKT", "MKTV"], "amino_acid")
    assert [score for score in scores if not math.isnan(score)] == pytest.approx(expected, **EXACTLY)
    assert [math.isnan(score) for score in scores] == [False, True, True, True, True, False]
    embedded = tiny_ume.embed_sequences(sequences, "amino_acid", errors="null")
    assert embedded.isnan().all(1).tolist() == [False, True, True, True, True, False]
    tokens = tiny_ume.embed_sequences(sequences, "amino_acid", aggregate=False, errors="null")
    assert [len(states) for states in tokens] == [5, 0, 0, 0, 0, 6]
    assert all(map(math.isnan, tiny_ume.compute_pseudo_likelihood(["", "C1%"], "SMILES", errors="null")[:1]))


@pytest.mark.parametrize(("option", "value"), [("errors", "ignore"), ("long_sequences", "cut")])
def test_an_unknown_option_is_named(tiny_ume: Ume, option: str, value: str):
    with pytest.raises(ValueError, match=f"{option} is '{value}': expected one of"):
        tiny_ume.compute_pseudo_likelihood(["CCO"], "SMILES", **{option: value})


@pytest.mark.parametrize("unit", [1, 3])
def test_windows_score_each_token_where_most_is_around_it(unit: int):
    for size in (6, 7, 12, 62):
        for n in [*range(1, 80), 1000]:
            found = windows(n, size, unit)
            assert [i for _, scored in found for i in scored] == list(range(n)), (n, size)

            def around(window: range, i: int, n: int = n) -> int:
                """Tokens to the nearer end of the window; the sequence's own ends cut nothing off."""
                left = i - window.start if window.start else n
                right = window.stop - 1 - i if window.stop < n else n
                return min(left, right) if i in window else -1

            for window, scored in found:
                assert len(window) <= size
                assert window.start % unit == 0
                assert len(scored) > 0
                for i in scored:
                    assert around(window, i) >= max(around(other, i) for other, _ in found) - 1


@pytest.mark.parametrize(("modality", "letters"), [("amino_acid", "ACDEFGHIKLMNPQRSTVWY"), ("nucleotide", "acgt")])
def test_long_sequences_are_scored_in_windows(tiny_ume: Ume, modality: str, letters: str):
    rng = random.Random(0)
    sequences = ["".join(rng.choices(letters, k=k)) for k in (10, 62, 63, 200)]
    *short, barely, long = tiny_ume.compute_pseudo_likelihood(
        sequences, modality, long_sequences="windows", method="exact"
    )
    assert short == pytest.approx(
        tiny_ume.compute_pseudo_likelihood(sequences[:2], modality, method="exact"), **EXACTLY
    )
    unit = 3 if modality == "nucleotide" else 1
    for sequence, score in zip(sequences[2:], (barely, long), strict=True):
        log_p = []
        for window, scored in windows(len(sequence), 62, unit):
            [ids] = tiny_ume.tokenize([sequence[window.start : window.stop]], modality)
            for i in scored:
                row = torch.tensor([ids])
                row[0, 1 + i - window.start] = MASK
                with torch.no_grad():
                    logits = tiny_ume.model(input_ids=row).logits[0, 1 + i - window.start]
                log_p.append(float(logits.log_softmax(-1)[ids[1 + i - window.start]]))
        assert score == pytest.approx(math.exp(sum(log_p) / len(sequence)), **EXACTLY)


def test_a_smiles_is_not_cut_into_windows(tiny_ume: Ume):
    with pytest.raises(ValueError, match="sequence 0 has 63 tokens"):
        tiny_ume.compute_pseudo_likelihood(["C" * 63], "SMILES", long_sequences="windows")


def test_any_sequence_of_strings_is_taken(tiny_ume: Ume):
    expected = tiny_ume.compute_pseudo_likelihood(["CCO", "CCN"], "SMILES")
    for sequences in (("CCO", "CCN"), pd.Series(["CCO", "CCN"]), np.array(["CCO", "CCN"]), iter(["CCO", "CCN"])):
        assert tiny_ume.compute_pseudo_likelihood(sequences, "SMILES") == expected


def test_an_encoder_whose_bases_are_upper_case_reads_them_so(tiny_ume: Ume):
    tokenizer = make_tokenizer(Modality.NUCLEOTIDE)
    state = tokenizer.backend_tokenizer.to_str().replace('"type":"Lowercase"', '"type":"NFC"')
    for base in "acgtnuryswkmbdhv":
        state = state.replace(f'"{base}":', f'"{base.upper()}":')
    upper = Ume(
        tiny_ume.model,
        tiny_ume.tokenizers
        | {
            Modality.NUCLEOTIDE: tokenizer.__class__(
                tokenizer_object=Tokenizer.from_str(state), unk_token="<unk>", pad_token="<pad>", mask_token="<mask>"
            )
        },
    )
    expected = tiny_ume.compute_pseudo_likelihood(["acgt"], "nucleotide")
    assert upper.compute_pseudo_likelihood(["acgt"], "nucleotide") == expected
    assert upper.compute_pseudo_likelihood(["ACGU"], "nucleotide") == expected


@pytest.mark.parametrize("threads", [2, 3])
def test_passes_side_by_side_give_the_scores_of_one_after_the_other(tiny_ume: Ume, threads: int):
    before, ids = torch.get_num_threads(), tiny_ume.tokenize(["C" * n + "O" for n in range(20, 220, 2)], "SMILES")
    try:
        torch.set_num_threads(1)
        alone = mean_log_probabilities(tiny_ume.model, ids, MASK, PAD, 2048)
        torch.set_num_threads(threads)
        assert mean_log_probabilities(tiny_ume.model, ids, MASK, PAD, 2048) == pytest.approx(alone, **EXACTLY)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
