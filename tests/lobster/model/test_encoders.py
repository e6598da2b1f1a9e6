"""Any masked language model as an encoder: what is found out of each kind of it, and the scores against a plain loop."""

import json
import math
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import (
    ByteLevelBPETokenizer,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    BertTokenizer,
    EsmConfig,
    EsmForMaskedLM,
    EsmTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaTokenizer,
)

from lobster.constants import Modality
from lobster.evaluation.corruption import swap_tokens
from lobster.model import CheckpointError, Encoder, MaskedLanguageModel, Ume, load_encoder
from lobster.rl_training import UmeRewardFunction, train_ume_grpo
from lobster.scoring import Reference
from lobster.scoring.null_model import NullModel
from lobster.sequences import canonical_smiles

SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "CN1CCC[C@H]1c1cccnc1", "Clc1ccc(Br)cc1", "C"]
PROTEINS = ["MKTVRQERLKSIVRILERSK", "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGWYHC", "GA"]
GENES = ["ATGGCCCTGTGGATGCGCCTCCTGCCCCTGCTG", "ATGGCCCTGTGGATGCGCCTCCTGCCCCTGCTGGCGC", "ACGT"]
RESIDUES = "LAGVSERTIDPKQNFYMHWCXBUZO"
BERT = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ATOMS = r"\[[^\]]+\]|Br|Cl|."
SIZE: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def _save(folder: Path, model: Any, tokenizer: Any = None) -> Path:
    """Write a network whose weights are large enough that scores differ."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def _around(backend: Tokenizer, before: str, after: str) -> None:
    special = [(token, backend.token_to_id(token)) for token in (before, after)]
    backend.post_processor = processors.TemplateProcessing(single=f"{before} $A {after}", special_tokens=special)


def _wordlevel(words: list[str], pattern: str = ".", **names: str) -> PreTrainedTokenizerFast:
    names = names or BERT
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=names["unk_token"]))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    _around(backend, names.get("cls_token", "[CLS]"), names.get("sep_token", "[SEP]"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def esm2(folder: Path) -> Path:
    tokens = ["<cls>", "<pad>", "<eos>", "<unk>", *RESIDUES, ".", "-", "<null_1>", "<mask>"]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(tokens))
    config = EsmConfig(
        vocab_size=len(tokens), mask_token_id=32, pad_token_id=1, max_position_embeddings=66, token_dropout=True,
        position_embedding_type="rotary", **SIZE,
    )  # fmt: skip
    return _save(folder, EsmForMaskedLM(config), EsmTokenizer(str(folder / "vocab.txt")))


def protbert(folder: Path) -> Path:
    """As ProtBERT is published: a vocab.txt of upper-case letters, which blanks must separate."""
    words = [*SPECIAL, *RESIDUES]
    config = BertConfig(vocab_size=len(words), max_position_embeddings=64, **SIZE)
    _save(folder, BertForMaskedLM(config))
    (folder / "vocab.txt").write_text("\n".join(words))
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    return folder


def _byte_level(corpus: list[str], size: int) -> ByteLevelBPETokenizer:
    backend = ByteLevelBPETokenizer()
    backend.train_from_iterator(corpus, size, 1, show_progress=False, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])  # fmt: skip
    return backend


def chemberta(folder: Path) -> Path:
    folder.mkdir()
    _byte_level(SMILES * 3, 300).save_model(str(folder))
    tokenizer = RobertaTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    config = RobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=66, pad_token_id=1, type_vocab_size=1, **SIZE
    )
    return _save(folder, RobertaForMaskedLM(config), tokenizer)


def molformer(folder: Path) -> Path:
    """Atom-wise tokens between <bos> and <eos>, rotary positions: MolFormer's tokenizer on ModernBERT's network."""
    atoms = sorted({atom for s in SMILES for atom in ["[nH]", "2", "/", *re.findall(ATOMS, s)]})
    names = {f"{n}_token": f"<{n}>" for n in ("unk", "pad", "mask")} | {"cls_token": "<bos>", "sep_token": "<eos>"}
    tokenizer = _wordlevel(["<bos>", "<pad>", "<eos>", "<unk>", "<mask>", *atoms], ATOMS, **names)
    config = ModernBertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=64, pad_token_id=1, bos_token_id=0, eos_token_id=2, cls_token_id=0,
        sep_token_id=2, mlm_probability=0.3, **SIZE,
    )  # fmt: skip
    return _save(folder, ModernBertForMaskedLM(config), tokenizer)


def dnabert2(folder: Path) -> Path:
    backend = Tokenizer(models.BPE(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.train_from_iterator(
        [*GENES] * 3, trainers.BpeTrainer(vocab_size=40, special_tokens=SPECIAL, show_progress=False)
    )
    _around(backend, "[CLS]", "[SEP]")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **BERT)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **SIZE)
    return _save(folder, BertForMaskedLM(config), tokenizer)


def nucleotide_transformer(folder: Path) -> Path:
    """6-mers, a <cls> before and nothing after, learned positions that start at 2."""
    mers = ["".join(letters) for letters in product("ATCG", repeat=6)]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["<unk>", "<pad>", "<mask>", "<cls>", *mers, *"ATCGN"]))
    tokenizer = EsmTokenizer(str(folder / "vocab.txt"), eos_token=None, model_max_length=1000)
    config = EsmConfig(
        vocab_size=len(tokenizer), mask_token_id=2, pad_token_id=1, max_position_embeddings=66,
        position_embedding_type="absolute", **SIZE,
    )  # fmt: skip
    return _save(folder, EsmForMaskedLM(config), tokenizer)


def albert(folder: Path) -> Path:
    """A BERT vocabulary of atoms and no tokenizer that splits them, as rxnmapper has it."""
    config = AlbertConfig(vocab_size=40, embedding_size=8, max_position_embeddings=64, **SIZE)
    _save(folder, AlbertForMaskedLM(config))
    words = [*SPECIAL, "[unused1]", ">>", *"CcNnOoFS()=#123-+.", "Cl", "Br", "[C@H]", "[nH]"]
    (folder / "vocab.txt").write_text("\n".join(words))
    return folder


def rna(folder: Path) -> Path:
    """Letters of RNA in lower case, which know no T."""
    tokenizer = _wordlevel([*SPECIAL, *"acgun"])
    return _save(folder, BertForMaskedLM(BertConfig(vocab_size=10, max_position_embeddings=64, **SIZE)), tokenizer)


# What makes it; what it reads; whether that has to be said; how it wants the first sequence; around it; max_length; passes.
KINDS: dict[str, tuple[Callable[[Path], Path], Modality, bool, Callable[[str], str], tuple[int, int], int, int]] = {
    "esm2": (esm2, Modality.AMINO_ACID, False, str, (1, 1), 66, 7),
    "protbert": (protbert, Modality.AMINO_ACID, False, " ".join, (1, 1), 64, 7),
    "chemberta": (chemberta, Modality.SMILES, True, str, (1, 1), 64, 7),
    "molformer": (molformer, Modality.SMILES, False, str, (1, 1), 64, 3),
    "dnabert2": (dnabert2, Modality.NUCLEOTIDE, False, str, (1, 1), 64, 7),
    "nucleotide_transformer": (nucleotide_transformer, Modality.NUCLEOTIDE, False, str, (1, 0), 64, 7),
    "albert": (albert, Modality.SMILES, False, str, (1, 1), 64, 7),
    "rna": (rna, Modality.NUCLEOTIDE, False, lambda s: s.lower().replace("t", "u"), (1, 1), 64, 7),
}
EXAMPLES = {Modality.SMILES: SMILES, Modality.AMINO_ACID: PROTEINS, Modality.NUCLEOTIDE: GENES}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make the folder of a kind once."""
    root, made = tmp_path_factory.mktemp("encoders"), dict[str, Path]()

    def find(kind: str) -> Path:
        if kind not in made:
            torch.manual_seed(0)
            made[kind] = KINDS[kind][0](root / kind)
        return made[kind]

    return find


def _load(folders: Callable[[str], Path], kind: str) -> Encoder:
    return load_encoder(folders(kind), KINDS[kind][1] if KINDS[kind][2] else None, device="cpu")


def _naive(encoder: Any, ids: list[int], around: tuple[int, int], passes: int | None) -> float:
    """Mask every K-th own token of one sequence a pass, one sequence at a time, nothing padded."""
    own = list(range(around[0], len(ids) - around[1]))
    log_p = []
    for first in range(min(passes or len(own), len(own))):
        masked = torch.tensor([ids])
        positions = own[first :: passes or len(own)]
        masked[0, positions] = encoder.tokenizer.mask_token_id
        with torch.no_grad():
            logits = encoder.model(input_ids=masked, attention_mask=torch.ones_like(masked)).logits[0]
        log_p += [float(logits[p].log_softmax(-1)[ids[p]]) for p in positions]
    return math.exp(np.mean(log_p))


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_is_found_out_and_scores_as_a_plain_loop_does(folders: Callable[[str], Path], kind: str):
    _, modality, _, spelled, around, max_length, passes = KINDS[kind]
    encoder = _load(folders, kind)
    assert encoder.modalities == [modality]
    assert encoder.max_length == max_length
    assert (encoder.before, encoder.after) == around
    sequences = EXAMPLES[modality]
    ids = encoder.tokenize(sequences, modality)
    assert ids == encoder.tokenizer([spelled(s) for s in sequences]).input_ids
    assert encoder.tokenizer.unk_token_id not in {token for row in ids for token in row}
    for method, expected in (("exact", None), ("strided", passes)):
        scores = encoder.compute_pseudo_likelihood(sequences, modality, batch_size=2, method=method)
        assert scores == pytest.approx([_naive(encoder, row, around, expected) for row in ids], rel=1e-5)
    letters = ["".join(tokens) for tokens in encoder.tokens(sequences, modality)]
    assert letters == [spelled(s).replace(" ", "") for s in sequences]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_read_back(folders: Callable[[str], Path], kind: str, tmp_path: Path):
    encoder = _load(folders, kind)
    encoder.save_pretrained(tmp_path)
    again = load_encoder(tmp_path, device="cpu")  # which was told its modality once
    modality = KINDS[kind][1]
    assert again.spellings == encoder.spellings
    assert again.max_length == encoder.max_length
    assert again.compute_pseudo_likelihood(EXAMPLES[modality], modality) == pytest.approx(
        encoder.compute_pseudo_likelihood(EXAMPLES[modality], modality), rel=1e-6
    )


@pytest.mark.parametrize(
    ("kind", "sequence", "problem"),
    [
        ("molformer", "CC[Uue]C", r"'\[Uue\]' at position 3"),
        ("molformer", "CC C", r"' ' at position 3"),
        ("albert", "CCI", "'I' at position 3"),
        ("albert", "CC[MASK]", r"'\[MASK\]' at position 3"),
        ("chemberta", "CC CC", "' ' at position 3"),
        ("protbert", "MKB" + "J", "'J' at position 4"),
        ("rna", "ACGR", "'r' at position 4"),
        ("dnabert2", "ATGGCCNTG", "'N' at position 7"),
        ("nucleotide_transformer", "ATGGCCATGRYA", "'R' at position 10"),
    ],
)
def test_what_the_vocabulary_lacks_is_named(folders: Callable[[str], Path], kind: str, sequence: str, problem: str):
    encoder = _load(folders, kind)
    modality = KINDS[kind][1]
    good = EXAMPLES[modality][0]
    with pytest.raises(ValueError, match=f"sequence 1: {problem}"):
        encoder.compute_pseudo_likelihood([good, sequence], modality)
    [known, unknown] = encoder.compute_pseudo_likelihood([good, sequence], modality, errors="null")
    assert known > 0
    assert math.isnan(unknown)


def test_letters_that_a_tokenizer_drops_are_no_letters_read(folders: Callable[[str], Path], tmp_path: Path):
    """A byte-level BPE without the byte of % makes nothing at all of it."""
    state = json.loads(_byte_level(SMILES, 300).to_str())
    del state["model"]["vocab"]["%"]
    state["model"]["vocab"]["unused"] = 9
    (tmp_path / "tokenizer.json").write_text(json.dumps(state))
    names = {"unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"), **names)
    assert len(tokenizer("C%C").input_ids) == 2
    network = RobertaForMaskedLM(RobertaConfig(vocab_size=300, max_position_embeddings=66, pad_token_id=1, **SIZE))
    encoder = MaskedLanguageModel(network, tokenizer, "SMILES")
    assert (encoder.before, encoder.after) == (0, 0)
    with pytest.raises(ValueError, match="'%' at position 2"):
        encoder.compute_pseudo_likelihood(["C%12CC"], "SMILES")


def test_a_slow_tokenizer_that_drops_letters_is_caught(folders: Callable[[str], Path]):
    class Dropping(EsmTokenizer):
        def tokenize(self, text: str, **kwargs: Any) -> list[str]:
            return [letter for letter in text if letter != "O"]

    encoder = load_encoder(folders("esm2"), "amino_acid", "cpu", tokenizer=Dropping(str(folders("esm2") / "vocab.txt")))
    with pytest.raises(ValueError, match="'O' at position 3"):
        encoder.read(["MKOV"], "amino_acid")


def test_what_a_vocabulary_can_write_has_to_be_said_where_it_is_not_plain(folders: Callable[[str], Path]):
    with pytest.raises(ValueError, match="can write SMILES and amino_acid and nucleotide: pass modality="):
        load_encoder(folders("chemberta"), device="cpu")
    with pytest.raises(ValueError, match=r"esm2: the vocabulary cannot write SMILES: it lacks \( = \)"):
        load_encoder(folders("esm2"), "SMILES", device="cpu")
    assert load_encoder(folders("esm2"), "nucleotide", device="cpu").modalities == ["nucleotide"]
    with pytest.raises(ValueError, match="reads amino_acid only, not SMILES"):
        load_encoder(folders("esm2"), device="cpu").tokenize(["CCO"], "SMILES")


def test_a_tokenizer_that_folds_case_writes_no_smiles():
    tokenizer = _wordlevel([*SPECIAL, *"cno=()[]123456789lbrfs"])
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    network = BertForMaskedLM(BertConfig(vocab_size=40, **SIZE))
    with pytest.raises(ValueError, match=r"cannot write SMILES: it takes some of .* for one another"):
        MaskedLanguageModel(network, tokenizer, "SMILES")


@pytest.mark.parametrize("separator", ["", " "])
def test_of_several_spellings_the_one_that_the_network_finds_likelier_is_taken(separator: str):
    """A vocabulary of both cases: a network that foresees lower-case letters reads them."""
    tokenizer = _wordlevel([*SPECIAL, *"ACGTacgt", *separator])
    network = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), **SIZE))
    with torch.no_grad():
        network.cls.predictions.bias[9:13] += 10  # acgt
    encoder = MaskedLanguageModel(network, tokenizer, "nucleotide")
    assert encoder.tokens(["ACGU"], "nucleotide") == [["a", "c", "g", "t"]]


def test_networks_that_are_no_masked_language_models_are_refused(folders: Callable[[str], Path], tmp_path: Path):
    config = BertConfig(vocab_size=29, **SIZE)
    _save(
        tmp_path / "headless",
        BertModel(config, add_pooling_layer=False),
        BertTokenizer(str(folders("protbert") / "vocab.txt")),
    )
    with pytest.raises(CheckpointError, match=r"lacks \d+ weights of a bert masked language model, cls\."):
        load_encoder(tmp_path / "headless")
    _save(tmp_path / "causal", LlamaForCausalLM(LlamaConfig(vocab_size=29, **SIZE)))
    with pytest.raises(CheckpointError, match="is no masked language model"):
        load_encoder(tmp_path / "causal")
    config.is_decoder = True
    with pytest.raises(ValueError, match="writes from left to right"):
        MaskedLanguageModel(BertForMaskedLM(config), _wordlevel([*SPECIAL, *RESIDUES]))
    (tmp_path / "unknown").mkdir()
    (tmp_path / "unknown" / "config.json").write_text('{"model_type": "of_its_own", "auto_map": {"AutoConfig": "x.Y"}}')
    with pytest.raises(CheckpointError, match="its own code"):
        load_encoder(tmp_path / "unknown")


def test_a_tokenizer_has_to_be_the_networks_own(folders: Callable[[str], Path], tmp_path: Path):
    small = BertForMaskedLM(BertConfig(vocab_size=8, **SIZE))
    with pytest.raises(ValueError, match="the tokenizer has 30 tokens and the network 8"):
        MaskedLanguageModel(small, _wordlevel([*SPECIAL, *RESIDUES]))
    maskless = _wordlevel([*SPECIAL, *RESIDUES])
    maskless.mask_token = None
    with pytest.raises(ValueError, match="has no mask token"):
        MaskedLanguageModel(small, maskless)
    _save(tmp_path, BertForMaskedLM(BertConfig(vocab_size=30, **SIZE)))
    with pytest.raises(ValueError, match="pass tokenizer="):
        load_encoder(tmp_path)
    assert load_encoder(tmp_path, device="cpu", tokenizer=_wordlevel([*SPECIAL, *RESIDUES])).modalities == [
        "amino_acid"
    ]


def test_a_mask_rate_that_is_none_is_refused():
    network = BertForMaskedLM(BertConfig(vocab_size=30, mlm_probability=15, **SIZE))
    with pytest.raises(ValueError, match="mlm_probability of the configuration is 15"):
        MaskedLanguageModel(network, _wordlevel([*SPECIAL, *RESIDUES]))


def test_an_input_has_to_be_limited_somewhere(folders: Callable[[str], Path]):
    encoder = _load(folders, "molformer")
    encoder.tokenizer.model_max_length = 20
    assert MaskedLanguageModel(encoder.model, encoder.tokenizer).max_length == 20


def test_a_ume_is_an_encoder_too(tiny_ume: Ume, tmp_path: Path):
    tiny_ume.save_pretrained(tmp_path)
    encoder = load_encoder(tmp_path, "SMILES", device="cpu")
    assert isinstance(encoder, Ume)
    assert encoder.compute_pseudo_likelihood(SMILES, "SMILES") == tiny_ume.compute_pseudo_likelihood(SMILES, "SMILES")


def test_a_hub_id_with_pickled_weights_alone_is_found_in_the_cache(
    folders: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cached = tmp_path / "models--somebody--protbert"
    snapshot = cached / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    snapshot.mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(snapshot.name)
    for name in ("config.json", "vocab.txt", "tokenizer_config.json"):
        (snapshot / name).write_bytes((folders("protbert") / name).read_bytes())
    torch.save(_load(folders, "protbert").model.state_dict(), snapshot / "pytorch_model.bin")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    encoder = load_encoder("somebody/protbert", device="cpu")
    assert encoder.compute_pseudo_likelihood(PROTEINS, "amino_acid") == pytest.approx(
        _load(folders, "protbert").compute_pseudo_likelihood(PROTEINS, "amino_acid"), rel=1e-6
    )


def test_long_sequences_are_scored_in_windows_by_any_encoder(folders: Callable[[str], Path]):
    encoder = _load(folders, "nucleotide_transformer")
    long = "ATGGCCCTGTGGATGCGCCTCCTGCCC" * 40  # 180 6-mers
    with pytest.raises(ValueError, match=r"180 tokens of its own: expected 1 to 63 \(max_length 64 less the 1 special"):
        encoder.compute_pseudo_likelihood([long], "nucleotide")
    [found] = encoder.token_log_probabilities([long], "nucleotide", long_sequences="windows")
    [whole] = encoder.token_log_probabilities([long[: 63 * 6]], "nucleotide", method="exact")
    [cut] = encoder.token_log_probabilities([long], "nucleotide", method="exact", long_sequences="windows")
    assert len(found) == 180
    assert cut[:40] == pytest.approx(whole[:40], rel=1e-5)


def test_the_null_model_counts_a_k_mer_at_the_base_that_it_starts_with():
    null = NullModel.of([["atg", "gc", "c", "a"]], Modality.NUCLEOTIDE)
    assert set(null.counts) == {("0", "atg"), ("0", "gc"), ("2", "c"), ("0", "a")}


@pytest.fixture
def real(tmp_path: Path) -> dict[Modality, Path]:
    """Files of enough real sequences for a reference."""
    rng = np.random.default_rng(0)
    rows = {
        Modality.SMILES: [f"{'C' * n}c1ccc({'O' if n % 2 else 'N'})cc1" for n in range(1, 26)],
        Modality.NUCLEOTIDE: ["ATG" + "".join(rng.choice(list("ACGT"), 90)) for _ in range(25)],
        Modality.AMINO_ACID: ["M" + "".join(rng.choice(list(RESIDUES[:20]), 40)) for _ in range(25)],
    }
    for modality, sequences in rows.items():
        fasta = "".join(f">{i}\n{s}\n" for i, s in enumerate(sequences))
        (tmp_path / modality).write_text("\n".join(sequences) if modality is Modality.SMILES else fasta)
    return {modality: tmp_path / modality for modality in rows}


@pytest.mark.parametrize("kind", ["chemberta", "molformer", "nucleotide_transformer", "protbert"])
def test_a_reference_is_made_by_any_encoder_and_known_again(
    folders: Callable[[str], Path], real: dict[Modality, Path], kind: str, tmp_path: Path
):
    encoder, modality = _load(folders, kind), KINDS[kind][1]
    plain = UmeRewardFunction(encoder)
    assert not plain.scoring.uses_reference
    reference = Reference.from_files(encoder, {modality: real[modality]})
    reference.save(tmp_path / "reference.json")
    again = Reference.load(tmp_path / "reference.json", encoder)
    [own], [tokens] = (f([EXAMPLES[modality][1]], modality) for f in (encoder.token_log_probabilities, encoder.tokens))
    assert len(own) == len(tokens)
    measured = [r.parts[modality].measure(EXAMPLES[modality][1], (tokens, own)) for r in (reference, again)]
    assert measured[0] == pytest.approx(measured[1])
    assert all(0 <= value <= 1 for value in measured[0].values())
    scored = UmeRewardFunction(encoder, reference={modality: real[modality]}).score([EXAMPLES[modality][0]], modality)
    assert {"naturalness", "typicality"} <= scored[0].values.keys()
    assert scored[0].score > 0


def test_a_reference_knows_its_encoder_by_a_sequence_that_it_can_read(real: dict[Modality, Path], tmp_path: Path):
    """Aspirin is longer than this encoder reads."""
    tokenizer = _wordlevel([*SPECIAL, *"CcNnOo()=123", "Cl"], ATOMS)
    tokenizer.model_max_length = 17
    encoder = MaskedLanguageModel(BertForMaskedLM(BertConfig(vocab_size=18, **SIZE)), tokenizer)
    small = [f"{a}{b}{c}" for a, b, c in product("CNO", repeat=3)]
    reference = Reference.of(encoder, {"SMILES": small})
    reference.save(tmp_path / "reference.json")
    assert reference.parts[Modality.SMILES].probe[0] in {canonical_smiles(s) for s in small}
    assert Reference.load(tmp_path / "reference.json", encoder).parts.keys() == {"SMILES"}
    other = _wordlevel([*SPECIAL, *RESIDUES])
    proteins = MaskedLanguageModel(BertForMaskedLM(BertConfig(vocab_size=30, **SIZE)), other)
    with pytest.raises(ValueError, match="was written with another encoder"):
        Reference.load(tmp_path / "reference.json", proteins)


def test_the_reward_tells_what_the_encoder_does_not_read(folders: Callable[[str], Path]):
    reward = UmeRewardFunction(_load(folders, "albert"))
    scored = reward.score(["CC(=O)Oc1ccccc1", "CCI", "MKTVRQERLK", "C" * 100])
    assert [item.outcome.value for item in scored] == ["scored", "unknown_token", "wrong_modality", "too_long"]
    assert reward(["CC(=O)Oc1ccccc1", "CCI"])[1] == 0.0


@pytest.mark.parametrize("loaded", [False, True])
def test_a_policy_is_trained_with_any_encoder(
    folders: Callable[[str], Path], tiny_policy: Path, tmp_path: Path, loaded: bool
):
    encoder: Any = _load(folders, "chemberta")
    if not loaded:
        encoder.save_pretrained(tmp_path / "encoder")
        encoder = tmp_path / "encoder"
    trainer = train_ume_grpo(
        str(tiny_policy), encoder, [""], output_dir=tmp_path / "run", device="cpu", batch_size=4, num_generations=4,
        max_completion_length=12, max_steps=2, save_strategy="no", report_to=[],
    )  # fmt: skip
    assert [log["reward"] >= 0 for log in trainer.state.log_history if "reward" in log]
    assert trainer.ume_reward.reward_function.get_statistics()["count"] == 8


def test_the_page_about_encoders_shows_what_runs(
    folders: Callable[[str], Path], real: dict[Modality, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page = (Path(__file__).parents[3] / "docs" / "encoders.md").read_text()
    _load(folders, "chemberta").save_pretrained(tmp_path / "path" / "to" / "mine")
    (tmp_path / "real.smi").write_bytes(real[Modality.SMILES].read_bytes())
    monkeypatch.chdir(tmp_path)
    local = {"facebook/esm2": "esm2", "seyonec/ChemBERTa": "chemberta", "ibm/MoLFormer": "molformer"}
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        for name, kind in local.items():
            block = re.sub(f'"{name}[^"]*"', repr(str(folders(kind))), block)
        exec(compile(block.replace("max_steps=100", "max_steps=1"), "docs/encoders.md", "exec"), names)
    assert names["encoder"].modalities == ["SMILES"]


def _rxnmapper() -> Path:
    """Return the folder of the real encoder that the wheel rxnmapper carries; without importing it, which needs more."""
    spec = find_spec("rxnmapper")
    if spec is None or spec.origin is None:
        pytest.skip("rxnmapper is not installed: pip install --no-deps rxnmapper")
    return Path(spec.origin).parent / "models" / "transformers" / "albert_heads_8_uspto_all_1310k"


def test_a_real_encoder_of_somebody_else_knows_molecules(held_out: Callable[[Modality], list[str]]):
    encoder = load_encoder(_rxnmapper(), device="cpu")
    assert encoder.modalities == ["SMILES"]
    assert encoder.tokens(["CC(=O)Oc1c[nH]c1Cl"], "SMILES") == [[*"CC(=O)Oc1c", "[nH]", *"c1", "Cl"]]
    rng = np.random.default_rng(0)
    smiles = held_out(Modality.SMILES)
    pairs = _pairs(encoder, (smiles[i] for i in rng.permutation(len(smiles))), rng, 40)
    real, swapped = (np.array(encoder.compute_pseudo_likelihood(some, "SMILES")) for some in zip(*pairs, strict=True))
    assert (real > swapped).mean() >= 0.85


def _pairs(encoder: Encoder, smiles: Iterator[str], rng: np.random.Generator, count: int) -> list[tuple[str, str]]:
    """Return real molecules and swapped ones that the encoder can read, both canonical."""
    found: list[tuple[str, str]] = []
    while len(found) < count:
        real = canonical_smiles(next(smiles))
        swapped = real and swap_tokens(real, rng)
        pair = [form for s in (real, swapped) if s and (form := canonical_smiles(s))]
        if len(pair) == 2 and None not in encoder.read(pair, "SMILES", errors="null"):
            found.append((pair[0], pair[1]))
    return found
