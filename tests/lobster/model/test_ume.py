"""`Ume`: embeddings, freezing, tokenizers and pickling."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from lobster.constants import Modality
from lobster.model import Ume
from lobster.tokenization import make_tokenizer

SMILES = ["CCO", "CC(=O)Oc1ccccc1C(=O)O", "C", "c1ccccc1"]


def through_pickle(ume: Ume) -> Ume:
    return pickle.loads(pickle.dumps(ume))


def test_embeddings_are_one_vector_a_sequence(tiny_ume: Ume):
    embeddings = tiny_ume.embed_sequences(SMILES, Modality.SMILES)
    assert embeddings.shape == (4, 32)
    assert embeddings.dtype is torch.float32


def test_embeddings_may_be_one_vector_a_token(tiny_ume: Ume):
    embeddings = tiny_ume.embed_sequences(SMILES, "SMILES", aggregate=False)
    assert [tuple(states.shape) for states in embeddings] == [(5, 32), (23, 32), (3, 32), (10, 32)]


def test_an_embedding_is_the_mean_over_own_tokens_of_the_last_states(tiny_ume: Ume):
    [ids] = tiny_ume.tokenize(["CC(=O)O"], "SMILES")
    states = tiny_ume.model.encode(torch.tensor([ids]))[0]
    [tokens] = tiny_ume.embed_sequences(["CC(=O)O"], "SMILES", aggregate=False)
    torch.testing.assert_close(tokens, states, rtol=0, atol=1e-5)
    mean = tiny_ume.embed_sequences(["CC(=O)O"], "SMILES")[0]
    torch.testing.assert_close(mean, states[1:-1].mean(0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_embeddings_do_not_depend_on_padding_or_batch(tiny_ume: Ume, batch_size: int):
    together = tiny_ume.embed_sequences(SMILES, "SMILES", batch_size=batch_size)
    alone = torch.cat([tiny_ume.embed_sequences([smiles], "SMILES") for smiles in SMILES])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_no_sequences_give_no_embeddings(tiny_ume: Ume):
    assert tiny_ume.embed_sequences([], "SMILES").shape == (0, 32)
    assert tiny_ume.embed_sequences([], "SMILES", aggregate=False) == []


@pytest.mark.parametrize(("sequence", "tokens"), [("", 0), ("C" * 63, 63)])
def test_sequence_that_cannot_be_embedded_is_named(tiny_ume: Ume, sequence: str, tokens: int):
    with pytest.raises(ValueError, match=f"sequence 1 has {tokens} tokens"):
        tiny_ume.embed_sequences(["CCO", sequence], "SMILES")


def test_frozen_network_is_constant(tiny_ume: Ume):
    ume = deepcopy(tiny_ume)
    assert ume.unfreeze().freeze() is ume
    assert not ume.model.training
    assert not any(parameter.requires_grad for parameter in ume.model.parameters())
    assert not ume.embed_sequences(SMILES, "SMILES").requires_grad


def test_gradients_flow_through_the_embeddings_of_an_unfrozen_network(tiny_ume: Ume):
    ume = deepcopy(tiny_ume)
    assert ume.freeze().unfreeze() is ume
    assert ume.model.training
    assert all(parameter.requires_grad for parameter in ume.model.parameters())
    ume.embed_sequences(SMILES, "SMILES").square().sum().backward()
    for name, parameter in ume.model.named_parameters():
        if name.startswith(("embeddings", "layers")):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_scoring_leaves_no_gradients_behind(tiny_ume: Ume):
    ume = deepcopy(tiny_ume).unfreeze()
    before = ume.embed_sequences(SMILES, "SMILES")
    ume.compute_pseudo_likelihood(SMILES, "SMILES")
    before.sum().backward()
    assert ume.model.embeddings.tok_embeddings.weight.grad is not None


@pytest.mark.parametrize("modality", Modality)
def test_tokenizer_goes_by_modality_and_by_name(tiny_ume: Ume, modality: Modality):
    tokenizer = tiny_ume.get_tokenizer(modality)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    assert tokenizer.cls_token == f"<cls_{modality.value.lower()}>"
    for name in (modality.value, modality.value.upper(), modality.value.lower()):
        assert tiny_ume.get_tokenizer(name) is tokenizer


def test_unknown_modality_names_the_choices(tiny_ume: Ume):
    with pytest.raises(ValueError, match=r"'lipid' is unknown.*SMILES.*amino_acid.*nucleotide"):
        tiny_ume.get_tokenizer("lipid")


def test_modalities_and_maximum_length(tiny_ume: Ume):
    assert set(tiny_ume.modalities) == set(Modality)
    assert tiny_ume.max_length == 64
    assert tiny_ume.device.type in ("cpu", "cuda")


def test_network_is_called_as_any_hugging_face_model(tiny_ume: Ume):
    inputs = make_tokenizer(Modality.SMILES)(SMILES, padding=True, return_tensors="pt")
    logits = tiny_ume.model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
    assert logits.shape == (4, 23, 1280)


@pytest.mark.parametrize("options", [{"padding": True}, {"truncation": True, "max_length": 12}])
def test_using_a_tokenizer_with_padding_or_truncation_does_not_change_scores(tiny_ume: Ume, options: dict):
    ume = deepcopy(tiny_ume)
    expected = ume.compute_pseudo_likelihood(SMILES, "SMILES")
    ume.get_tokenizer("SMILES")(SMILES, **options)
    assert [len(ids) for ids in ume.tokenize(SMILES, "SMILES")] == [5, 23, 3, 10]
    assert ume.compute_pseudo_likelihood(SMILES, "SMILES") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("copy", [deepcopy, through_pickle])
def test_a_copied_ume_scores_the_same(tiny_ume: Ume, copy: Callable[[Ume], Ume]):
    for modality, sequences in [("SMILES", SMILES), ("amino_acid", ["MKTV"]), ("nucleotide", ["acgt"])]:
        expected = tiny_ume.compute_pseudo_likelihood(sequences, modality)
        assert copy(tiny_ume).compute_pseudo_likelihood(sequences, modality) == expected


@pytest.mark.parametrize("copy", [deepcopy, through_pickle])
def test_text_that_spells_a_special_token_stays_text_in_a_copied_ume(tiny_ume: Ume, copy: Callable[[Ume], Ume]):
    texts = ["C<mask>", "<eos>"]
    assert copy(tiny_ume).tokenize(texts, "SMILES") == tiny_ume.tokenize(texts, "SMILES")


def test_encoder_needs_neither_rdkit_nor_trl_nor_datasets_nor_matplotlib(tiny_ume: Ume, tmp_path: Path):
    tiny_ume.save_pretrained(tmp_path)
    program = (
        "import sys; from lobster.model import Ume; "
        f"Ume.from_pretrained({str(tmp_path)!r}, device='cpu').compute_pseudo_likelihood(['CCO'], 'SMILES'); "
        "print(sorted({'rdkit', 'trl', 'datasets', 'matplotlib'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


_MEMORY = """
import random, resource, sys

import torch

from lobster.model import Ume

torch.set_num_threads(1)  # others have memory of their own
ume = Ume.from_pretrained(sys.argv[1], device="cpu")
draw = random.Random(0)
peaks = []
for count in (5_000, 25_000):
    ume.compute_pseudo_likelihood(["".join(draw.choices("CNO", k=draw.randint(5, 15))) for _ in range(count)], "SMILES", method=1)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(peaks[1] - peaks[0])
"""


def test_memory_does_not_grow_with_the_number_of_sequences(tiny_ume, tmp_path):
    tiny_ume.save_pretrained(tmp_path)
    command = [sys.executable, "-c", _MEMORY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 25  # MB; it is 73 where all are read at once


def test_of_many_sequences_one_that_cannot_be_read_is_told_by_its_number_before_any_is_scored(tiny_ume, monkeypatch):
    sequences = ["CCO"] * 4500
    sequences[4321] = "C!C"
    expected = tiny_ume.compute_pseudo_likelihood(["CCO"], "SMILES")[0]
    found = tiny_ume.compute_pseudo_likelihood(sequences, "SMILES", errors="null")
    assert [number for number, value in enumerate(found) if value != pytest.approx(expected, rel=1e-5)] == [4321]
    monkeypatch.setattr(tiny_ume, "_log_probabilities", lambda *_: pytest.fail("scored"))
    with pytest.raises(ValueError, match="sequence 4321: token '!' at position 2"):
        tiny_ume.compute_pseudo_likelihood(sequences, "SMILES")
