"""Training a UME and a policy: masking, vocabularies, and short runs from the command line."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import lobster
from lobster.cli.main import main as cli
from lobster.constants import Modality
from lobster.model import Ume, UmeConfig, UmeForMaskedLM
from lobster.model.checkpoints import assets
from lobster.pretraining.__main__ import main
from lobster.pretraining.corpus import CorpusError, TokenCorpus, cached_corpora
from lobster.pretraining.initialization import OFFSETS, count_codons, look_at_neighbours
from lobster.pretraining.policy import MAX_LENGTH, CausalCollator, policy_tokenizer, usable, vocabulary
from lobster.pretraining.run import Speed
from lobster.pretraining.ume import MaskingCollator
from lobster.sequences import SequenceFileError
from lobster.sequences.chemistry import canonical_smiles
from lobster.tokenization import make_tokenizer

MASK, PAD, CLS, EOS = 8, 6, 2, 4
MOLECULES = ["CCO", "CC(=O)O", "c1ccccc1", "CCN", "C", "ClCCBr", "CC(C)C", "OCCO", "CC(=O)N", "CCCCCC"] * 2
PROTEINS = ["MKTVRQERLK", "GGSGGS", "MARNDCEQ", "LLKKAAEE"]
NUCLEOTIDES = ["ATGCGTACG", "acgtacgt", "GATTACA"]


@pytest.fixture(scope="module")
def collate() -> MaskingCollator:
    return MaskingCollator({modality: make_tokenizer(modality) for modality in Modality}, mask_rate=0.25)


def ids_of(modality: Modality, sequences: list[str]) -> list[np.ndarray]:
    return [np.array(ids) for ids in make_tokenizer(modality)(sequences, add_special_tokens=False).input_ids]


@pytest.mark.parametrize("seed", range(5))
def test_a_quarter_of_the_own_tokens_of_each_row_is_masked(collate: MaskingCollator, seed: int):
    sequences = ["C" * n for n in range(1, 25)]
    batch = collate(Modality.SMILES, ids_of(Modality.SMILES, sequences), np.random.default_rng(seed))
    masked = batch["input_ids"] == MASK
    assert masked.sum(1).tolist() == [max(1, round(0.25 * n)) for n in range(1, 25)]
    assert torch.equal(masked, batch["labels"] != -100)


@pytest.mark.parametrize("seed", range(5))
def test_special_tokens_and_padding_are_never_masked(collate: MaskingCollator, seed: int):
    batch = collate(Modality.SMILES, ids_of(Modality.SMILES, MOLECULES), np.random.default_rng(seed))
    ids, attention = batch["input_ids"], batch["attention_mask"]
    assert ids[:, 0].tolist() == [CLS] * len(ids)
    assert ((ids == EOS).sum(1) == 1).all()
    assert torch.equal(ids == PAD, attention == 0)
    assert not (batch["labels"][attention == 0] != -100).any()


def test_labels_are_what_the_masks_hide(collate: MaskingCollator):
    tokenizer = make_tokenizer(Modality.SMILES)
    batch = collate(Modality.SMILES, ids_of(Modality.SMILES, MOLECULES), np.random.default_rng(0))
    restored = torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])
    for row, smiles in zip(restored.tolist(), MOLECULES, strict=True):
        own = tokenizer(smiles).input_ids
        assert row == own + [PAD] * (len(row) - len(own))


def test_masks_follow_from_the_generator_and_fall_everywhere(collate: MaskingCollator):
    ids = ids_of(Modality.AMINO_ACID, ["M" * 20])
    one, two = (collate(Modality.AMINO_ACID, ids, np.random.default_rng(7))["input_ids"] for _ in range(2))
    assert torch.equal(one, two)
    rng = np.random.default_rng(0)
    counts = sum((collate(Modality.AMINO_ACID, ids, rng)["labels"] != -100)[0].int() for _ in range(400))
    assert counts[0] == counts[-1] == 0
    assert counts[1:-1].min() > 60  # 100 expected at each position
    assert counts[1:-1].max() < 140


def test_a_mask_rate_can_be_drawn_for_each_batch():
    tokenizers = {modality: make_tokenizer(modality) for modality in Modality}
    collate = MaskingCollator(tokenizers, mask_rate=(0.1, 0.4))
    ids = ids_of(Modality.AMINO_ACID, ["M" * 100])
    masked = [
        int((collate(Modality.AMINO_ACID, ids, np.random.default_rng(i))["labels"] != -100).sum()) for i in range(200)
    ]
    assert 10 <= min(masked) < 13
    assert 37 < max(masked) <= 40


def test_vocabulary_leaves_out_fragments_and_rare_tokens():
    assert vocabulary([*["CCO"] * 20_000, "CCO.CCO", "[Na+]"], Modality.SMILES) == ["C", "O"]  # the most frequent first
    assert vocabulary(["ATGAAATAA", "ATGTAA"], Modality.NUCLEOTIDE) == ["ATG", "TAA", "AAA"]


def test_a_policy_learns_what_it_can_spell_and_end():
    unknown = 3
    assert usable([4] * (MAX_LENGTH - 2), unknown)
    assert not usable([4] * (MAX_LENGTH - 1), unknown)
    assert not usable([4, unknown], unknown)


@pytest.mark.parametrize("seed", range(3))
def test_heads_of_a_new_ume_look_at_their_offsets(seed: int):
    torch.manual_seed(seed)
    model = UmeForMaskedLM(UmeConfig())
    look_at_neighbours(model)
    ids = torch.randint(52, 90, (1, 120))
    with torch.no_grad():
        x = model.layers[0].attn_norm(model.embeddings(ids, None))
        q, k, _ = model.layers[0].attn.Wqkv(x).view(1, 120, 3, 6, 64).permute(2, 0, 3, 1, 4)
        attention = (q @ k.mT / 8).softmax(-1)[0, :, 60]
    assert (attention.argmax(-1) - 60).tolist() == list(OFFSETS)
    assert attention.max(-1).values.min() > 0.6


def test_a_share_of_the_smiles_is_learned_in_a_random_spelling(tmp_path: Path):
    """Which ones, and how, follows from the molecule, so that a resumed run reads the same; the molecules stay."""
    molecules = [f"CC(C)C(=O)N{'C' * n}c1ccccc1" for n in range(1, 40)]
    (tmp_path / "smiles.txt").write_text("\n".join(molecules))
    settings = "--randomised 0.5 --width 32 --layers 1 --max_steps 1 --batch_tokens 4096 --device cpu"
    learned = []
    for name in ("one", "two"):
        main(["policy", "--smiles", f"{tmp_path}/smiles.txt", "--output_dir", f"{tmp_path}/{name}", *settings.split()])
        corpus = TokenCorpus.load(tmp_path / name / "cache" / "SMILES")
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / name)
        learned.append({tokenizer.decode(corpus[i]) for i in range(len(corpus))})
    assert learned[0] == learned[1]
    assert {canonical_smiles(s) for s in learned[0]} <= {canonical_smiles(s) for s in molecules}
    assert 0.2 < len(learned[0] - set(molecules)) / len(learned[0]) < 0.8


@pytest.mark.parametrize(("flag", "value"), [("width", "33"), ("layers", "0"), ("randomised", "1.5")])
def test_what_no_policy_can_have_is_refused(tmp_path: Path, flag: str, value: str):
    with pytest.raises(ValueError, match=f"{flag}.*expected"):
        main(["policy", "--output_dir", str(tmp_path), f"--{flag}", value])


def test_policy_tokenizer_starts_a_prompt_and_joins_an_answer():
    tokenizer = policy_tokenizer(["C", "O", "Cl", "[NH3+]"], Modality.SMILES)
    assert tokenizer("").input_ids == [tokenizer.bos_token_id]
    ids = tokenizer("ClC[NH3+]O").input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == ["<bos>", "Cl", "C", "[NH3+]", "O"]
    assert tokenizer.decode([*ids, tokenizer.eos_token_id], skip_special_tokens=True) == "ClC[NH3+]O"
    assert tokenizer.padding_side == "left"
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}) == 4


def test_causal_batches_end_with_eos_and_ignore_padding():
    tokenizer = policy_tokenizer(["C", "O"], Modality.SMILES)
    rng = np.random.default_rng(0)
    batch = CausalCollator(tokenizer)(Modality.SMILES, [np.array([4, 4, 5]), np.array([4])], rng)
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
        corpora = [
            word for name in names for word in (f"--{name}", str(files[name]), f"--heldout_{name}", str(files[name]))
        ]
        settings = "--max_steps 4 --batch_tokens 64 --save_steps 2 --eval_steps 2 --warmup_steps 1 --device cpu"
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


def test_what_a_run_goes_on_from_is_told(
    run: Callable[[str, Path], Path], finished: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(finished["policy"], tmp_path / "out")
    file = tmp_path / "out" / "checkpoint-4" / "run_settings.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"learning_rate": 0.5}))
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    run("policy", tmp_path / "out")
    said = capsys.readouterr().out
    assert "checkpoint-4 with other settings: learning_rate 0.5 → " in said
    assert "had ended at step 4: nothing is trained" in said
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before
    shutil.rmtree(tmp_path / "out" / "cache")
    with pytest.raises(ValueError, match=r"checkpoint-4 is of another model than this run's: choose another"):
        run("ume", tmp_path / "out")


def test_an_interrupted_run_says_how_it_goes_on(
    run: Callable[[str, Path], Path], finished: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(finished["policy"] / "checkpoint-2", tmp_path / "checkpoint-2")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Speed, "count", interrupt)
    with pytest.raises(
        KeyboardInterrupt, match=r"^stopped at step 3: checkpoint 2 is whole, resume with the same command"
    ):
        run("policy", tmp_path)


def test_held_out_perplexities_are_told_on_the_way_and_noted(
    run: Callable[[str, Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = run("ume", tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines if "held-out" in line] == ["step 2", "step 4"]
    assert any("tokens/s" in line and "% of the matmul peak" in line for line in lines)
    noted = json.loads((folder / "training.json").read_text())["heldout_perplexity"]
    assert noted.keys() == {"SMILES", "amino_acid", "nucleotide"}
    assert lines[-1].endswith(", ".join(f"{name} {value:.3f}" for name, value in noted.items()))


def test_a_ume_can_be_widened(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "smiles.txt").write_text("\n".join(["CCO", "CCN", "OCCO"]))
    rest = f"--smiles {tmp_path}/smiles.txt --max_steps 1 --batch_tokens 64 --device cpu"
    main(["ume", *f"--size nano --output_dir {tmp_path}/small {rest}".split()])
    main(["ume", *f"--size mini --start {tmp_path}/small --output_dir {tmp_path}/wide {rest}".split()])
    small, wide = (Ume.from_pretrained(tmp_path / name, device="cpu") for name in ("small", "wide"))
    assert (small.model.config.hidden_size, wide.model.config.hidden_size) == (192, 384)
    assert small.modalities == wide.modalities == [Modality.SMILES]  # what they have learned
    with pytest.raises(ValueError, match="the encoder reads SMILES only, not amino_acid"):
        small.compute_pseudo_likelihood(["MKTV"], "amino_acid")
    (tmp_path / "bases.txt").write_text("ATGAAATAA\nATGTAA\n")
    rest = rest.replace("--smiles", "--nucleotide").replace("smiles.txt", "bases.txt")
    main(["ume", *f"--start {tmp_path}/small --output_dir {tmp_path}/more {rest}".split()])
    assert Ume.from_pretrained(tmp_path / "more", device="cpu").modalities == [Modality.SMILES, Modality.NUCLEOTIDE]
    assert cli(["doctor", f"{tmp_path}/small"]) == 0
    assert "checkpoint-1: the same command again; it has ended, a larger --max_steps" in capsys.readouterr().out
    with pytest.raises(ValueError, match="expected 2 times as much"):
        main(["ume", *f"--size small --start {tmp_path}/small --output_dir {tmp_path}/wider {rest}".split()])


def test_a_trained_model_learns_to_count_codons_and_scores_as_before():
    """The first layer tells the position within a codon of bases that it has not seen, and nothing else changes much."""
    torch.manual_seed(0)
    ume = Ume.from_pretrained("ume-nano-base-3M", device="cpu")
    molecules = ["CC(=O)Oc1ccccc1C(=O)O", "CC(C)Cc1ccc(C(C)C(=O)O)cc1", "Cn1c(=O)c2c(ncn2C)n(C)c1=O"]
    before = ume.compute_pseudo_likelihood(molecules, "SMILES")
    assert count_codons(ume) < 0.15
    assert ume.model.config.counts_codons
    assert ume.compute_pseudo_likelihood(molecules, "SMILES") == pytest.approx(before, rel=0.05)

    rng = np.random.default_rng(1)
    ids = torch.tensor(ume.tokenize(["".join(rng.choice(list("acgt"), 900)) for _ in range(8)], Modality.NUCLEOTIDE))
    with torch.no_grad():
        hidden = ume.model.layers[0](ume.model.embeddings(ids, None), None)[:, 1:-1]
    phase = (torch.arange(900) % 3).expand(8, -1)
    known = torch.nn.functional.one_hot(phase[:6], 3).flatten(0, 1).float()
    fitted = torch.linalg.lstsq(hidden[:6].flatten(0, 1), known).solution
    assert ((hidden[6:] @ fitted).argmax(-1) == phase[6:]).float().mean() > 0.95


def test_what_counts_codons_keeps_its_first_layer_in_every_later_run(tmp_path: Path):
    (tmp_path / "genes.txt").write_text("ATGGCTAAATAA\nATGCCCGGGTAG")
    rest = f"--nucleotide {tmp_path}/genes.txt --max_steps 2 --batch_tokens 64 --device cpu"
    main(["ume", *f"--size nano --output_dir {tmp_path}/new --max_length 64 {rest}".split()])
    main(["ume", *f"--start {tmp_path}/new --count_codons --output_dir {tmp_path}/counts {rest}".split()])
    main(["ume", *f"--start {tmp_path}/counts --output_dir {tmp_path}/later {rest}".split()])
    new, counts, later = (load_file(tmp_path / name / "model.safetensors") for name in ("new", "counts", "later"))
    first = [name for name in counts if name.startswith(("embeddings.", "layers.0."))]
    assert first
    assert all(torch.equal(counts[name], later[name]) for name in first)
    assert not torch.equal(new["layers.0.mlp.Wi.weight"], counts["layers.0.mlp.Wi.weight"])
    assert not torch.equal(counts["layers.1.mlp.Wi.weight"], later["layers.1.mlp.Wi.weight"])
    main(["ume", *f"--size mini --start {tmp_path}/counts --output_dir {tmp_path}/wide {rest}".split()])
    assert Ume.from_pretrained(tmp_path / "wide", device="cpu").model.config.counts_codons
    with pytest.raises(ValueError, match="name one with --start"):
        main(["ume", *f"--count_codons --output_dir {tmp_path}/none {rest}".split()])


def test_a_long_smiles_is_left_out_and_a_long_protein_is_cut(tmp_path: Path):
    (tmp_path / "smiles.txt").write_text("CCO\n" + "C" * 50)
    (tmp_path / "proteins.txt").write_text("M" * 50)
    files = f"--smiles {tmp_path}/smiles.txt --amino_acid {tmp_path}/proteins.txt --output_dir {tmp_path}/out"
    main(["ume", *f"{files} --max_length 20 --max_steps 4 --batch_tokens 99 --device cpu".split()])
    lengths = {m: np.load(tmp_path / "out" / "cache" / m / "lengths.npy").tolist() for m in ("SMILES", "amino_acid")}
    assert lengths == {"SMILES": [3], "amino_acid": [50]}


@pytest.mark.parametrize("command", ["ume", "policy"])
def test_a_model_can_go_on_from_another(finished: dict[str, Path], tmp_path: Path, command: str):
    (tmp_path / "smiles.txt").write_text("\n".join(["CCO", "CCN", "OCCO", "Zz", "[Xe]"]))
    start = f"--start {finished[command]} --smiles {tmp_path}/smiles.txt --output_dir {tmp_path}/second"
    main([command, *f"{start} --max_steps 2 --batch_tokens 64 --device cpu".split()])
    before, after = (load_file(f / "model.safetensors") for f in (finished[command], tmp_path / "second"))
    assert before.keys() == after.keys()
    assert not all(torch.equal(before[name], after[name]) for name in before)
    noted = json.loads((tmp_path / "second" / "training.json").read_text())
    assert noted["earlier"] == json.loads((finished[command] / "training.json").read_text())


@pytest.mark.parametrize(("command", "name"), [("ume", "ume-nano-base-3M"), ("policy", "smiles-policy-3M")])
def test_a_model_can_go_on_from_one_that_ships(tmp_path: Path, command: str, name: str):
    (tmp_path / "smiles.txt").write_text("CCO\nCCN")
    files = f"--start {name} --smiles {tmp_path}/smiles.txt --output_dir {tmp_path}/out"
    main([command, *f"{files} --max_steps 1 --batch_tokens 64 --device cpu".split()])
    earlier = json.loads((tmp_path / "out" / "training.json").read_text())["earlier"]
    shipped = assets() / name / "training.json"
    assert earlier == (json.loads(shipped.read_text()) if shipped.is_file() else None)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path):
    (tmp_path / "smiles.txt").write_text("\n".join(MOLECULES))
    settings = "--max_steps 60 --batch_tokens 64 --learning_rate 1e30 --logging_steps 5 --warmup_steps 1 --device cpu"
    with pytest.raises(FloatingPointError, match="learning_rate"):
        main(["policy", "--smiles", f"{tmp_path}/smiles.txt", "--output_dir", f"{tmp_path}/out", *settings.split()])
    assert not (tmp_path / "out" / "training.json").exists()


SCORECARD = """Held-out sequences

| modality | figure | n | m | baseline |
|---|---|---|---|---|
| SMILES | accuracy | 3 | 0.500 | unigram 0.250 |

{"model": "m", "figures": []}
"""


@pytest.mark.parametrize("command", ["ume", "policy"])
def test_a_published_model_is_in_float16_with_its_scorecard(finished: dict[str, Path], tmp_path: Path, command: str):
    (tmp_path / "scorecard.md").write_text(SCORECARD)
    (tmp_path / "sources.md").write_text("From the kitchen.")
    target = tmp_path / "published"
    files = f"--scorecard {tmp_path}/scorecard.md --sources {tmp_path}/sources.md"
    main(["publish", *f"--folder {finished[command]} --target {target} {files}".split()])
    card = (target / "README.md").read_text()
    assert "- 4 steps of about 64 tokens" in card
    assert "| SMILES | accuracy | 3 | 0.500 | unigram 0.250 |" in card
    assert "figures" not in card.split("unigram 0.250")[1]
    assert "From the kitchen." in card
    assert (target / "training.json").read_text() == (finished[command] / "training.json").read_text()
    published, original = (load_file(f / "model.safetensors") for f in (target, finished[command]))
    assert {tensor.dtype for tensor in published.values()} == {torch.float16}
    assert all(torch.allclose(published[n].float(), original[n], atol=1e-3, rtol=1e-3) for n in original)


def test_what_is_no_scorecard_is_refused(finished: dict[str, Path], tmp_path: Path):
    (tmp_path / "notes.md").write_text("It is good.")
    with pytest.raises(CorpusError, match=r"notes\.md"):
        main(["publish", *f"--folder {finished['ume']} --target {tmp_path}/t --scorecard {tmp_path}/notes.md".split()])
    assert not (tmp_path / "t").exists()


def test_training_needs_no_more_than_five_packages(tmp_path: Path):
    """It runs from the bare source tree where none of the other dependencies is installed."""
    (tmp_path / "proteins.txt").write_text("\n".join(PROTEINS))
    absent = ("accelerate", "datasets", "trl", "peft", "rdkit", "Bio", "pandas", "matplotlib")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"
        "from lobster.pretraining.__main__ import main\n"
        "main(['ume', '--amino_acid', 'proteins.txt', '--max_steps', '2', '--batch_tokens', '64', '--device', 'cpu'])"
    )
    source = Path(lobster.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(source), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "step 2/2" in done.stdout
    assert (tmp_path / "runs" / "pretraining" / "model.safetensors").is_file()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("command", ["ume", "policy"])
def test_training_on_a_gpu_learns(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "smiles.txt").write_text("\n".join(MOLECULES))
    files = f"--smiles {tmp_path}/smiles.txt --heldout_smiles {tmp_path}/smiles.txt --output_dir {tmp_path}/out"
    main(
        [command, *f"{files} --max_steps 60 --batch_tokens 256 --warmup_steps 10 --eval_steps 30 --device cuda".split()]
    )
    found = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines() if "held-out" in line]
    assert found[-1] < found[0] < 1280


@pytest.mark.parametrize("command", ["ume", "policy"])
def test_empty_corpus_is_named(tmp_path: Path, command: str):
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(SequenceFileError, match=r"empty\.txt"):
        main(
            [
                command,
                "--smiles",
                str(tmp_path / "empty.txt"),
                "--output_dir",
                str(tmp_path / "out"),
                "--device",
                "cpu",
            ]
        )


@pytest.mark.parametrize("command", ["ume", "policy"])
@pytest.mark.parametrize("flag", ["--smiles", "--heldout_smiles"])
def test_what_is_no_molecule_is_not_learned_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, command: str, flag: str
):
    (tmp_path / "odd.smi").write_text("hello\n1234\n" * 20)
    (tmp_path / "good.smi").write_text("CCO\nCCN\n" * 20)
    named = {"--smiles": f"{tmp_path}/good.smi"} | {flag: f"{tmp_path}/odd.smi"}
    words = [word for pair in named.items() for word in pair]
    with pytest.raises(CorpusError, match=r"40 of 40 sequences that were looked at are no SMILES, such as \['hello'\]"):
        main([command, *words, "--output_dir", f"{tmp_path}/out"])
    (tmp_path / "some.smi").write_text("hello\nCCO\nCCN\nc1ccccc1\n" * 20)
    some, of_letters = {Modality.SMILES: f"{tmp_path}/some.smi"}, lambda _, found: [[1] * len(one) for one in found]
    cached_corpora(tmp_path / "cache", some, of_letters, {Modality.SMILES: 99}, 99)
    assert "20 of 80 sequences that were looked at are no SMILES, such as ['hello']" in caplog.text


@pytest.mark.parametrize("command", ["ume", "policy", "adapt"])
def test_a_model_of_another_run_is_not_written_over(tmp_path: Path, command: str):
    file = tmp_path / "proteins.txt"
    file.write_text("\n".join(PROTEINS))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/config.json").write_text("{}")
    with pytest.raises(
        FileExistsError, match=r"out holds a model \(config\.json\): choose another output_dir, or remove"
    ):
        main([command, "--amino_acid", str(file), "--output_dir", str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("policy", "--logging_steps 0", "logging_steps is 0: expected at least 1"),
        ("policy", "--learning_rate nan", "learning_rate is nan: expected at least 1e-12"),
        ("ume", "--warmup_steps -3", "warmup_steps is -3: expected at least 0"),
        ("ume", "--cache_megabytes 0", "cache_megabytes is 0.0: expected at least 0.001"),
        ("ume", "--mask_rate 0.5 0.2", r"mask_rate is \[0.5, 0.2\]: expected a share"),
        ("adapt", "--profile_share 7", "profile_share is 7.0: expected at least 0 and at most 1"),
        ("adapt", "--max_steps 0", "max_steps is 0: expected at least 1"),
    ],
)
def test_numbers_out_of_their_range_are_said_first(tmp_path: Path, command: str, words: str, said: str):
    with pytest.raises(ValueError, match=said):
        main([command, "--amino_acid", "nowhere.txt", "--output_dir", str(tmp_path / "out"), *words.split()])


def test_run_without_a_corpus_is_refused(tmp_path: Path):
    with pytest.raises(CorpusError, match="no file"):
        main(["policy", "--output_dir", str(tmp_path)])


def test_vocabulary_command_prints_the_atoms_of_a_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "corpus.txt").write_text("C[NH3+]\n[Na+].[NH3+]C\n")
    main(["vocabulary", str(tmp_path / "corpus.txt")])
    assert capsys.readouterr().out.split()[-2:] == ["[NH3+]", "[Na+]"]


@pytest.mark.parametrize("arguments", [[], ["bake"], ["--help"]])
def test_unknown_command_shows_the_usage(arguments: list[str]):
    with pytest.raises(SystemExit, match=r"usage: python -m lobster\.pretraining"):
        main(arguments)


def test_a_reference_is_written_into_the_folder_of_its_encoder(tmp_path: Path):
    from lobster.rl_training import UmeRewardFunction

    Ume.from_pretrained("ume-nano-base-3M", device="cpu").save_pretrained(tmp_path / "ume")
    (tmp_path / "real.smi").write_text("".join("C" * n + end + "\n" for n in range(1, 9) for end in ("O", "N", "CO")))
    assert not (tmp_path / "ume" / "reference.json").exists()
    main(["reference", "--ume", str(tmp_path / "ume"), "--smiles", str(tmp_path / "real.smi")])
    reward = UmeRewardFunction(Ume.from_pretrained(tmp_path / "ume", device="cpu"))
    assert list(reward.reference.parts) == ["SMILES"]
    assert reward(["CCCCO"])[0] > 0
    with pytest.raises(ValueError, match="name --smiles"):
        main(["reference", "--ume", str(tmp_path / "ume")])
