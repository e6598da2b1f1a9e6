"""The scorecard: its figures equal slow computations, and its command runs on a UME and on other masked models."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import EsmConfig, EsmForMaskedLM, EsmTokenizer, LlamaConfig, LlamaForCausalLM

from lobster.constants import Modality
from lobster.evaluation import policy_scorecard, scorecard
from lobster.evaluation.__main__ import main
from lobster.evaluation.mutants import encoder_scores, read_mutant
from lobster.evaluation.scorecard import auroc, spearman
from lobster.model import Ume, load_encoder
from lobster.model.pseudo_likelihood import scoring_rows
from lobster.pretraining.policy import policy_tokenizer
from lobster.scoring.biopolymers import open_reading_frame

SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "CC(C)Cc1ccc(C(C)C(=O)O)cc1", "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "NC(=O)c1ccccc1"]
PROTEINS = [
    "MKTVRQERLKSIVRILERSKEPVSGAQLAEELS",
    "MGSSHHHHHHSSGLVPRGSHMASMTGGQQMGRGS",
    "MALWMRLLPLLALLALWGPDPAAAFVNQHLCG",
]
WILD_TYPE = "MKTVRQERLK"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout of a folder of held-out data, without nucleotides."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("smiles", "protein", "eval/dms"):
        (folder / name).mkdir(parents=True)
    import gzip

    for name, sequences in {"smiles/train": SMILES * 3, "smiles/valid": SMILES}.items():
        (folder / f"{name}.txt.gz").write_bytes(gzip.compress("\n".join(sequences).encode()))
    for name in ("protein/train", "protein/valid_family"):
        fasta = "".join(f">{i}\n{s}\n" for i, s in enumerate(PROTEINS))
        (folder / f"{name}.fasta.gz").write_bytes(gzip.compress(fasta.encode()))
    (folder / "eval/dms/index.csv").write_text(f"name,wt\nTOY,{WILD_TYPE}\nLONG,{'M' * 3000}\n")
    (folder / "eval/dms/TOY.csv").write_text("mutant,score\nM1A,0.1\nK2R,0.9\nV4I,0.8\nR5W,-0.4\nL9P,-0.6\n")
    (folder / "eval/dms/LONG.csv").write_text("mutant,score\nM1A,0.1\n")
    return folder


@pytest.fixture(scope="module")
def figures(tiny_ume: Ume, data: Path) -> dict:
    return {(f.modality, f.name): f for f in scorecard(tiny_ume, data)}


def test_perplexity_and_accuracy_of_smiles(tiny_ume: Ume, figures: dict):
    tokenizer = tiny_ume.get_tokenizer("SMILES")
    log_p, hits = [], []
    for smiles in SMILES:
        ids = torch.tensor([tokenizer(smiles).input_ids])
        for first in range(4):  # the tiny UME's mask rate is a quarter
            masked = torch.arange(1 + first, ids.shape[1] - 1, 4)
            seen = ids.clone()
            seen[0, masked] = tokenizer.mask_token_id
            with torch.no_grad():
                logits = tiny_ume.model(input_ids=seen).logits[0, masked]
            log_p += logits.log_softmax(-1)[torch.arange(len(masked)), ids[0, masked]].tolist()
            hits += (logits.argmax(-1) == ids[0, masked]).tolist()
    assert figures["SMILES", "pseudo-perplexity"].value == pytest.approx(math.exp(-np.mean(log_p)), rel=1e-4)
    assert figures["SMILES", "masked-token accuracy"].value == pytest.approx(np.mean(hits))
    assert figures["SMILES", "pseudo-perplexity"].count == len(SMILES)


def test_every_figure_is_finite_and_has_a_baseline(figures: dict):
    assert {modality for modality, _ in figures} == {"SMILES", "amino_acid"}
    for figure in figures.values():
        assert figure.baselines, figure
        assert all(map(math.isfinite, (figure.value, *figure.baselines.values()))), figure
    assert 0 <= figures["amino_acid", "homopolymers"].value <= 100
    assert ("amino_acid", "two-letter repeats") not in figures  # longer than the model takes
    assert figures["SMILES", "K = 4: cost"].value > 0


def test_four_passes_cost_less_than_one_a_token(tiny_ume: Ume):
    """In rows of a forward pass: times are not for a test to judge."""
    ids = tiny_ume.tokenize(SMILES, "SMILES")
    four, exact = (len(scoring_rows(tiny_ume.model, ids, method)) for method in (4, "exact"))
    assert four == 4 * len(SMILES)
    assert four < exact == sum(len(row) - 2 for row in ids)


def test_assays_are_compared_with_the_mutants_measured(tiny_ume: Ume, figures: dict):
    mutants = [read_mutant(text, WILD_TYPE) for text in ("M1A", "K2R", "V4I", "R5W", "L9P")]
    measured = [0.1, 0.9, 0.8, -0.4, -0.6]
    marginal = encoder_scores(tiny_ume, WILD_TYPE, mutants)
    assert figures["amino_acid", "TOY, masked marginal"].value == pytest.approx(spearman(marginal, measured))
    blosum62 = [-1, 2, 3, -3, -3]
    assert figures["amino_acid", "TOY, masked marginal"].baselines["BLOSUM62"] == pytest.approx(
        spearman(blosum62, measured)
    )
    assert set(figures["amino_acid", "TOY, masked marginal"].baselines) == {"BLOSUM62", "family"}
    assert figures["amino_acid", "mean, pseudo-likelihood"].count == 2


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [([2, 3], [0, 1], 1), ([0], [1, 2], 0), ([1, 1], [1], 0.5), ([3, 1], [2], 0.5), ([3, 2], [2, 1], 0.875)],
)
def test_auroc_by_hand(positive: list, negative: list, expected: float):
    assert auroc(positive, negative) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [([1, 2, 3], [3, 2, 1], -1), ([1, 2, 3, 4], [10, 30, 20, 40], 0.8), ([1, 1, 1], [1, 2, 3], 0)],
)
def test_spearman_by_hand(one: list, other: list, expected: float):
    assert spearman(one, other) == pytest.approx(expected)


@pytest.fixture(scope="module")
def esm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random ESM-2 with its own tokenizer, as the Hugging Face library saves it."""
    folder = tmp_path_factory.mktemp("esm")
    tokens = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    EsmTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = EsmConfig(
        vocab_size=33, mask_token_id=32, pad_token_id=1, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=128, position_embedding_type="rotary", token_dropout=True,
    )  # fmt: skip
    EsmForMaskedLM(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("modality", [[], ["--modality", "amino_acid"]])
def test_a_masked_model_of_the_hub_is_scored(
    esm: Path, data: Path, modality: list[str], capsys: pytest.CaptureFixture[str]
):
    main(["ume", str(esm), *modality, "--data", str(data), "--device", "cpu"])
    table, _, last = capsys.readouterr().out.strip().rpartition("\n")
    assert "| amino_acid | pseudo-perplexity | 3 |" in table
    assert "| SMILES |" not in table
    report = json.loads(last)
    assert report["model"] == str(esm)
    [perplexity] = [f["value"] for f in report["figures"] if f["name"] == "pseudo-perplexity"]
    model = load_encoder(str(esm), Modality.AMINO_ACID, "cpu")
    scores = model.compute_pseudo_likelihood(PROTEINS, "amino_acid")
    lengths = list(map(len, PROTEINS))
    assert perplexity == pytest.approx(math.exp(-np.average(np.log(scores), weights=lengths)), rel=1e-4)


def test_a_folder_without_data_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"smiles/train\.txt\.gz"):
        main(["ume", "ume-mini-base-12M", "--data", str(tmp_path), "--device", "cpu"])


@pytest.fixture(scope="module")
def coding_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    tokenizer = policy_tokenizer(["ATG", "AAA", "TAA", "GCC"], Modality.NUCLEOTIDE)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16, bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_policy_is_measured_beside_its_training_data(
    coding_policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "train.txt").write_text("ATGAAATAA\nATGGCCTAA\nATGGCCAAA\nATGTTTTAA\n" + "ATG" * 20)
    (tmp_path / "heldout.txt").write_text("ATGGCCAAATAA\nTTT\n")
    files = f"--train {tmp_path}/train.txt --heldout {tmp_path}/heldout.txt --modality nucleotide --samples 50"
    main(["policy", str(coding_policy), *files.split(), "--device", "cpu"])
    figures = {f["name"]: f for f in json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]}
    model = LlamaForCausalLM.from_pretrained(coding_policy)
    with torch.no_grad():  # <bos> ATG GCC AAA TAA <eos>; TTT is a codon that the policy does not know
        log_p = model(input_ids=torch.tensor([[0, 4, 7, 5, 6]])).logits[0].log_softmax(-1)
    expected = math.exp(-float(log_p[range(5), [4, 7, 5, 6, 1]].mean()))
    assert figures["perplexity of a token"]["value"] == pytest.approx(expected, rel=1e-4)
    assert figures["perplexity of a token"]["count"] == 1
    assert figures["in frame from ATG to the only stop"]["baselines"]["training data"] == pytest.approx(2 / 3)
    assert figures["mean length in letters"]["baselines"]["training data"] == 9
    assert 0 <= figures["ended by themselves"]["value"] <= 1


def test_a_policy_that_writes_what_it_has_read(tmp_path: Path):
    """A model trained to certainty on one sequence writes it, ends by itself and is not novel."""
    tokenizer = policy_tokenizer(["M", "K"], Modality.AMINO_ACID)
    config = LlamaConfig(
        vocab_size=6, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=12, bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    row = torch.tensor([[0, 4, 5, 5, 1]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        loss = model(input_ids=row, labels=row).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    train = ["MKK", "m k k"]  # the latter it cannot write, and knows
    found = {f.name: f for f in policy_scorecard(model.eval(), tokenizer, Modality.AMINO_ACID, train, train, count=40)}
    assert found["ended by themselves"].value > 0.9
    assert found["from M on, of the 20 amino acids"].value > 0.9
    assert found["novelty"].value < 0.1
    assert found["largest relative difference of a letter's frequency"].value < 0.1
    assert found["perplexity of a token"].value < 1.1
    with pytest.raises(ValueError, match="none of the held-out sequences: are they amino_acid"):
        list(policy_scorecard(model, tokenizer, Modality.AMINO_ACID, train, ["CCO"], count=2))


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [("ATGTAA", True), ("ATG", False), ("", False), ("ATGAATAA", False), ("GTGAAATAA", False), ("ATGTGATAA", False)],
)
def test_open_reading_frames(sequence: str, expected: bool):
    assert open_reading_frame(sequence) == expected
