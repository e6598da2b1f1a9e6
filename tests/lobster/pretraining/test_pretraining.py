"""Training a UME and a policy: masking, vocabularies, and short runs from the command line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from lobster.constants import Modality
from lobster.model import Ume
from lobster.pretraining.__main__ import main
from lobster.pretraining.corpus import CorpusError
from lobster.pretraining.policy import MAX_LENGTH, CausalCollator, policy_tokenizer, usable, vocabulary
from lobster.pretraining.ume import MaskingCollator
from lobster.tokenization import make_tokenizer

MASK, PAD, CLS, EOS = 8, 6, 2, 4
MOLECULES = ["CCO", "CC(=O)O", "c1ccccc1", "CCN", "C", "ClCCBr", "CC(C)C", "OCCO", "CC(=O)N", "CCCCCC"] * 2
PROTEINS = ["MKTVRQERLK", "GGSGGS", "MARNDCEQ", "LLKKAAEE"]
NUCLEOTIDES = ["ATGCGTACG", "acgtacgt", "GATTACA"]


@pytest.fixture(scope="module")
def collate() -> MaskingCollator:
    return MaskingCollator({modality: make_tokenizer(modality) for modality in Modality}, mask_rate=0.25, max_length=32)


@pytest.mark.parametrize("seed", range(5))
def test_a_quarter_of_the_own_tokens_of_each_row_is_masked(collate: MaskingCollator, seed: int):
    sequences = ["C" * n for n in range(1, 25)]
    batch = collate(Modality.SMILES, sequences, np.random.default_rng(seed))
    masked = batch["input_ids"] == MASK
    assert masked.sum(1).tolist() == [max(1, round(0.25 * n)) for n in range(1, 25)]
    assert torch.equal(masked, batch["labels"] != -100)


@pytest.mark.parametrize("seed", range(5))
def test_special_tokens_and_padding_are_never_masked(collate: MaskingCollator, seed: int):
    batch = collate(Modality.SMILES, MOLECULES, np.random.default_rng(seed))
    ids, attention = batch["input_ids"], batch["attention_mask"]
    assert ids[:, 0].tolist() == [CLS] * len(ids)
    assert ((ids == EOS).sum(1) == 1).all()
    assert torch.equal(ids == PAD, attention == 0)
    assert not (batch["labels"][attention == 0] != -100).any()


def test_labels_are_what_the_masks_hide(collate: MaskingCollator):
    tokenizer = make_tokenizer(Modality.SMILES)
    batch = collate(Modality.SMILES, MOLECULES, np.random.default_rng(0))
    restored = torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])
    for row, smiles in zip(restored.tolist(), MOLECULES, strict=True):
        own = tokenizer(smiles).input_ids
        assert row == own + [PAD] * (len(row) - len(own))


def test_masks_follow_from_the_generator_and_fall_everywhere(collate: MaskingCollator):
    one, two = (collate(Modality.AMINO_ACID, ["M" * 20], np.random.default_rng(7))["input_ids"] for _ in range(2))
    assert torch.equal(one, two)
    rng = np.random.default_rng(0)
    counts = sum((collate(Modality.AMINO_ACID, ["M" * 20], rng)["labels"] != -100)[0].int() for _ in range(400))
    assert counts[0] == counts[-1] == 0
    assert counts[1:-1].min() > 60  # 100 expected at each position
    assert counts[1:-1].max() < 140


def test_a_long_sequence_is_cut_but_ends_with_eos(collate: MaskingCollator):
    batch = collate(Modality.SMILES, ["C" * 50], np.random.default_rng(0))
    assert batch["input_ids"].shape == (1, 32)
    assert batch["input_ids"][0, -1] == EOS


def test_usable_leaves_out_fragments_rare_tokens_and_long_molecules():
    common = ["CCO"] * 20_000
    corpus = [*common, "CCO.CCO", "[Na+]", "C" * (MAX_LENGTH - 2), "C" * (MAX_LENGTH - 1)]
    tokens = vocabulary(corpus)
    assert tokens == ["C", "O"]  # the most frequent first
    assert usable(corpus, tokens) == [*common, "C" * (MAX_LENGTH - 2)]


def test_usable_refuses_a_corpus_that_leaves_nothing():
    with pytest.raises(CorpusError, match="no molecule"):
        usable(["CC.O", "[Na+].[Cl-]"], ["C", "O"])


def test_policy_tokenizer_starts_a_prompt_and_joins_an_answer():
    tokenizer = policy_tokenizer(["C", "O", "Cl", "[NH3+]"])
    assert tokenizer("").input_ids == [tokenizer.bos_token_id]
    ids = tokenizer("ClC[NH3+]O").input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == ["<bos>", "Cl", "C", "[NH3+]", "O"]
    assert tokenizer.decode([*ids, tokenizer.eos_token_id], skip_special_tokens=True) == "ClC[NH3+]O"
    assert tokenizer.padding_side == "left"
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}) == 4


def test_causal_batches_end_with_eos_and_ignore_padding():
    tokenizer = policy_tokenizer(["C", "O"])
    batch = CausalCollator(tokenizer)(Modality.SMILES, ["CCO", "C"], np.random.default_rng(0))
    assert batch["labels"].tolist() == [[0, 4, 4, 5, 1], [0, 4, 1, -100, -100]]
    assert batch["input_ids"].tolist() == [[0, 4, 4, 5, 1], [0, 4, 1, 2, 2]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], Path]:
    """Run four steps of a command on tiny corpora into a folder."""
    files = {}
    folder = tmp_path_factory.mktemp("corpora")
    for name, sequences in {"smiles": MOLECULES, "amino_acid": PROTEINS, "nucleotide": NUCLEOTIDES}.items():
        files[name] = folder / f"{name}.txt"
        files[name].write_text("\n".join(sequences))

    def train(command: str, output: Path) -> Path:
        names = files if command == "ume" else ["smiles"]
        corpora = [word for name in names for word in (f"--{name}", str(files[name]))]
        settings = "--max_steps 4 --batch_tokens 64 --save_steps 2 --use_cpu true --disable_tqdm true --warmup_steps 1"
        main([command, *corpora, "--output_dir", str(output), *settings.split()])
        return output

    return train


@pytest.fixture(scope="module")
def finished(run: Callable[[str, Path], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of an unbroken run of each command."""
    return {command: run(command, tmp_path_factory.mktemp(command)) for command in ("ume", "policy")}


def test_trained_ume_loads_and_scores(finished: dict[str, Path]):
    ume = Ume.from_pretrained(finished["ume"], device="cpu")
    assert ume.model.config.hidden_size == 384
    for modality, sequences in [("SMILES", MOLECULES[:2]), ("amino_acid", PROTEINS), ("nucleotide", NUCLEOTIDES)]:
        assert all(0 < score < 1 for score in ume.compute_pseudo_likelihood(sequences, modality))


def test_tokenizers_of_a_trained_ume_neither_pad_nor_cut(finished: dict[str, Path]):
    ume = Ume.from_pretrained(finished["ume"], device="cpu")
    for modality in Modality:
        backend = ume.get_tokenizer(modality).backend_tokenizer
        assert backend.padding is None
        assert backend.truncation is None


def test_trained_policy_loads_and_reads_its_own_molecules(finished: dict[str, Path]):
    model = AutoModelForCausalLM.from_pretrained(finished["policy"])
    tokenizer = AutoTokenizer.from_pretrained(finished["policy"])
    assert model.config.vocab_size == len(tokenizer)
    assert (model.config.eos_token_id, model.config.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)
    ids = tokenizer(MOLECULES[1], return_tensors="pt").input_ids
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == MOLECULES[1]
    with torch.no_grad():
        assert model(ids).logits.isfinite().all()


@pytest.mark.parametrize("command", ["ume", "policy"])
def test_a_killed_run_that_resumes_equals_an_unbroken_one(
    run: Callable[[str, Path], Path], finished: dict[str, Path], tmp_path: Path, command: str
):
    shutil.copytree(finished[command] / "checkpoint-2", tmp_path / "checkpoint-2")
    halfway = load_file(tmp_path / "checkpoint-2" / "model.safetensors")
    resumed = load_file(run(command, tmp_path) / "model.safetensors")
    unbroken = load_file(finished[command] / "model.safetensors")
    assert resumed.keys() == unbroken.keys()
    assert all(torch.equal(resumed[name], unbroken[name]) for name in unbroken)
    assert not all(torch.equal(halfway[name], unbroken[name]) for name in unbroken)


def test_a_half_written_checkpoint_is_passed_over(
    run: Callable[[str, Path], Path], finished: dict[str, Path], tmp_path: Path
):
    shutil.copytree(finished["policy"] / "checkpoint-2", tmp_path / "checkpoint-2")
    (tmp_path / "checkpoint-3").mkdir()
    resumed = load_file(run("policy", tmp_path) / "model.safetensors")
    unbroken = load_file(finished["policy"] / "model.safetensors")
    assert all(torch.equal(resumed[name], unbroken[name]) for name in unbroken)


def test_a_policy_can_go_on_from_another_and_be_published(finished: dict[str, Path], tmp_path: Path):
    corpus = tmp_path / "smiles.txt"
    corpus.write_text("\n".join(["CCO", "CCN", "OCCO", "Zz", "[Xe]"]))
    settings = "--max_steps 2 --batch_tokens 64 --use_cpu true --disable_tqdm true"
    second, target = tmp_path / "second", tmp_path / "published"
    start = ["--start", str(finished["policy"]), "--smiles", str(corpus), "--output_dir", str(second)]
    main(["policy", *start, *settings.split()])
    assert (
        AutoTokenizer.from_pretrained(second).get_vocab()
        == AutoTokenizer.from_pretrained(finished["policy"]).get_vocab()
    )
    before, after = (load_file(f / "model.safetensors") for f in (finished["policy"], second))
    assert not all(torch.equal(before[name], after[name]) for name in before)

    files = ["--smiles", str(corpus), "--heldout_smiles", str(corpus)]
    main(["publish", "--folder", str(second), "--target", str(target), *files])
    card = (target / "README.md").read_text()
    assert "- 4 steps of about 64 tokens" in card
    assert "- 2 steps of about 64 tokens (0.0M in all), peak learning rate 0.001, drawn from 3 SMILES sequences" in card
    assert "validity of 1,000 samples" in card
    assert {tensor.dtype for tensor in load_file(target / "model.safetensors").values()} == {torch.float16}


def test_a_published_ume_has_its_figures_in_its_card(tiny_ume: Ume, tmp_path: Path):
    source, target = tmp_path / "tiny", tmp_path / "published"
    tiny_ume.save_pretrained(source)
    facts = {"parameters": 1, "steps": 2, "batch_tokens": 3, "learning_rate": 0.1, "mixture": "smiles=1"}
    (source / "training.json").write_text(json.dumps(facts | {"sequences": {"SMILES": 4}}))
    files = {"smiles": MOLECULES, "amino_acid": PROTEINS, "nucleotide": ["ACGTACGTAC"] * 3}
    arguments = []
    for name, sequences in files.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(sequences))
        arguments += [f"--{name}", str(tmp_path / f"{name}.txt"), f"--heldout_{name}", str(tmp_path / f"{name}.txt")]
    (tmp_path / "sources.md").write_text("From the kitchen.")
    sources = ["--sources", str(tmp_path / "sources.md")]
    main(["publish", "--folder", str(source), "--target", str(target), *arguments, *sources])
    card = (target / "README.md").read_text()
    for text in (
        "| SMILES | 20 |",
        "4 tokens swapped",
        "| amino_acid | 4 |",
        "| nucleotide | 3 |",
        "From the kitchen.",
    ):
        assert text in card
    published, original = Ume.from_pretrained(target, device="cpu"), Ume.from_pretrained(source, device="cpu")
    scores = published.compute_pseudo_likelihood(MOLECULES, "SMILES")
    assert scores == pytest.approx(original.compute_pseudo_likelihood(MOLECULES, "SMILES"), rel=0.02)


@pytest.mark.parametrize("command", ["ume", "policy"])
def test_empty_corpus_is_named(tmp_path: Path, command: str):
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(CorpusError, match=r"empty\.txt"):
        main(
            [
                command,
                "--smiles",
                str(tmp_path / "empty.txt"),
                "--output_dir",
                str(tmp_path / "out"),
                "--use_cpu",
                "true",
            ]
        )


def test_run_without_a_corpus_is_refused(tmp_path: Path):
    with pytest.raises(CorpusError, match="no file"):
        main(["policy", "--output_dir", str(tmp_path), "--use_cpu", "true"])


def test_vocabulary_command_prints_the_atoms_of_a_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "corpus.txt").write_text("C[NH3+]\n[Na+].[NH3+]C\n")
    main(["vocabulary", str(tmp_path / "corpus.txt")])
    assert capsys.readouterr().out.split()[-2:] == ["[NH3+]", "[Na+]"]


@pytest.mark.parametrize("arguments", [[], ["bake"], ["--help"]])
def test_unknown_command_shows_the_usage(arguments: list[str]):
    with pytest.raises(SystemExit, match=r"usage: python -m lobster\.pretraining"):
        main(arguments)
