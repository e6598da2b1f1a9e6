"""The three tokenizers and the vocabulary that they share."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from lobster.constants import Modality
from lobster.tokenization import SPECIAL_TOKENS, VOCABULARY_SIZE, load_tokenizer, make_tokenizer, smiles_tokens
from lobster.tokenization.vocabulary import modality_tokens

SPECIAL_IDS = {
    "<cls>": 0,
    "<cls_amino_acid>": 1,
    "<cls_smiles>": 2,
    "<cls_nucleotide>": 3,
    "<eos>": 4,
    "<unk>": 5,
    "<pad>": 6,
    "<sep>": 7,
    "<mask>": 8,
    "<cls_convert>": 9,
    "<cls_interact>": 10,
}
EXAMPLES = {
    Modality.SMILES: ["CCO", "C[C@@H](N)C(=O)[O-]", "ClCCBr", "C%12CCC%12", "c1cc[nH]c1"],
    Modality.AMINO_ACID: ["MKTVRQERLK", "MXBUZO*"],
    Modality.NUCLEOTIDE: ["acgtn", "GATTACA", "acguryswkmbdhv"],
}
CASES = [(modality, sequence) for modality, sequences in EXAMPLES.items() for sequence in sequences]


def backend_ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Return the ids as `Ume` gets them."""
    return tokenizer.backend_tokenizer.encode(text).ids


@pytest.fixture(scope="module")
def tokenizers() -> dict[Modality, PreTrainedTokenizerFast]:
    return {modality: make_tokenizer(modality) for modality in Modality}


@pytest.mark.parametrize("modality", Modality)
def test_special_ids_are_those_of_the_design(tokenizers, modality: Modality):
    tokenizer = tokenizers[modality]
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_IDS} == SPECIAL_IDS
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id, tokenizer.unk_token_id) == (6, 8, 5)
    assert (tokenizer.eos_token_id, tokenizer.sep_token_id) == (4, 7)
    assert tokenizer.cls_token == f"<cls_{modality.value.lower()}>"
    assert len(SPECIAL_TOKENS) == 25


@pytest.mark.parametrize(("modality", "sequence"), CASES)
def test_sequence_stands_between_its_cls_and_eos(tokenizers, modality: Modality, sequence: str):
    tokenizer = tokenizers[modality]
    ids = tokenizer(sequence).input_ids
    assert ids == backend_ids(tokenizer, sequence)
    assert ids[0] == SPECIAL_IDS[f"<cls_{modality.value.lower()}>"]
    assert ids[-1] == 4
    assert min(ids[1:-1]) >= 25


@pytest.mark.parametrize(("modality", "sequence"), CASES)
def test_ids_spell_the_sequence_again(tokenizers, modality: Modality, sequence: str):
    tokenizer = tokenizers[modality]
    spelled = "".join(tokenizer.convert_ids_to_tokens(tokenizer(sequence).input_ids[1:-1]))
    assert spelled == (sequence.lower() if modality is Modality.NUCLEOTIDE else sequence)
    assert tokenizer.decode(tokenizer(sequence).input_ids, skip_special_tokens=True).replace(" ", "") == spelled


def test_ranges_of_the_modalities_are_apart_and_fit_the_vocabulary():
    ids = [i for modality in Modality for i in modality_tokens(modality).values()]
    assert len(set(ids)) == len(ids)
    assert min(ids) >= len(SPECIAL_TOKENS)
    assert max(ids) < VOCABULARY_SIZE == 1280
    ranges = sorted(
        (min(tokens), max(tokens)) for tokens in (modality_tokens(modality).values() for modality in Modality)
    )
    assert all(low[1] < high[0] for low, high in pairwise(ranges))


@pytest.mark.parametrize(
    ("smiles", "tokens"),
    [
        ("ClCBr", ["Cl", "C", "Br"]),
        ("[13C@@H2+]O", ["[13C@@H2+]", "O"]),
        ("[Na+].[Cl-]", ["[Na+]", ".", "[Cl-]"]),
        ("C%12C%1012", ["C", "%12", "C", "%10", "1", "2"]),
        ("c1sc2n1o2", ["c", "1", "s", "c", "2", "n", "1", "o", "2"]),
        ("C/C=C\\C#N", ["C", "/", "C", "=", "C", "\\", "C", "#", "N"]),
    ],
)
def test_smiles_split_atom_wise(tokenizers, smiles: str, tokens: list[str]):
    assert [
        token for token, _ in tokenizers[Modality.SMILES].backend_tokenizer.pre_tokenizer.pre_tokenize_str(smiles)
    ] == tokens


def test_proteins_split_by_letter(tokenizers):
    assert tokenizers[Modality.AMINO_ACID].tokenize("MKX*") == ["M", "K", "X", "*"]


def test_case_of_nucleotides_does_not_matter(tokenizers):
    tokenizer = tokenizers[Modality.NUCLEOTIDE]
    assert tokenizer("ACGTUN").input_ids == tokenizer("acgtun").input_ids
    assert tokenizer.tokenize("ACg") == ["a", "c", "g"]


@pytest.mark.parametrize("modality", Modality)
@pytest.mark.parametrize("spelling", ["<mask>", "<eos>", "<pad>", "<cls>"])
def test_text_that_spells_a_special_token_is_text(tokenizers, modality: Modality, spelling: str):
    tokenizer = tokenizers[modality]
    for ids in (tokenizer(spelling).input_ids, backend_ids(tokenizer, spelling)):
        assert len(ids) == len(spelling) + 2
        assert SPECIAL_IDS[spelling] not in ids[1:-1]


@pytest.mark.parametrize(
    ("modality", "sequence", "unknown"),
    [
        (Modality.SMILES, "C!C", 1),
        (Modality.SMILES, "C[Xx]é", 2),
        (Modality.AMINO_ACID, "MJk", 2),
        (Modality.NUCLEOTIDE, "ACE-", 2),
    ],
)
def test_unknown_characters_are_unk(tokenizers, modality: Modality, sequence: str, unknown: int):
    assert tokenizers[modality](sequence).input_ids.count(5) == unknown


@pytest.mark.parametrize("modality", Modality)
def test_saved_tokenizer_gives_the_same_ids(tokenizers, modality: Modality, tmp_path: Path):
    folder = tmp_path / modality.value.lower()
    folder.mkdir()
    tokenizers[modality].backend_tokenizer.save(str(folder / "tokenizer.json"))
    loaded = load_tokenizer(folder)
    for sequence in [*EXAMPLES[modality], "<mask>", "é", ""]:
        assert loaded(sequence).input_ids == tokenizers[modality](sequence).input_ids
        assert backend_ids(loaded, sequence) == backend_ids(tokenizers[modality], sequence)
    assert loaded.all_special_ids == tokenizers[modality].all_special_ids


def test_missing_tokenizer_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"smiles.tokenizer\.json"):
        load_tokenizer(tmp_path / "smiles")


def test_smiles_vocabulary_orders_atoms_by_frequency():
    corpus = ["[Na+].[Cl-]", "[NH3+]CC[NH3+]", "[Na+].[NH3+]", "[K+]"]
    tokens = smiles_tokens(corpus)
    assert tokens[-4:] == ["[NH3+]", "[Na+]", "[Cl-]", "[K+]"]
    assert len(set(tokens)) == len(tokens)


def test_smiles_vocabulary_keeps_to_its_range():
    tokens = smiles_tokens(f"[{i}C]" for i in range(1, 2000))
    assert len(tokens) == 1264 - 52
    assert {"C", "Cl", "%49"} <= set(tokens)


def test_real_smiles_have_next_to_no_unknown_tokens(tokenizers, held_out: Callable[[Modality], list[str]]):
    rows = tokenizers[Modality.SMILES](held_out(Modality.SMILES)[:2000]).input_ids
    assert sum(row.count(5) for row in rows) < 0.001 * sum(len(row) - 2 for row in rows)
