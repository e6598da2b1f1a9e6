"""Loading and saving: what comes back is what was written, and a checkpoint is data, never code."""

import json
import os
import pickle
import shutil
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lobster.constants import Modality
from lobster.model import CheckpointError, Ume
from lobster.model.checkpoints import assets

SEQUENCES = {
    Modality.SMILES: ["CCO", "c1ccccc1", "C[C@H](N)C(=O)[O-]"],
    Modality.AMINO_ACID: ["MKTVRQ", "GGGG*"],
    Modality.NUCLEOTIDE: ["GATTACA", "acgu"],
}
LIGHTNING_NAMES = {
    "embeddings.": "model.model.embeddings.",
    "layers.": "model.model.encoder.layers.",
    "head.": "model.decoder.0.",
    "decoder.": "model.decoder.1.",
}


def scores(ume: Ume) -> list[list[float]]:
    return [ume.compute_pseudo_likelihood(sequences, modality) for modality, sequences in SEQUENCES.items()]


@pytest.fixture(scope="module")
def saved(tiny_ume: Ume, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "saved"
    tiny_ume.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of a saved UME, to be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "damaged"))


@pytest.fixture(scope="module")
def lightning(tiny_ume: Ume) -> dict:
    """What a Lightning checkpoint of the tiny UME holds."""
    state = {}
    for name, value in tiny_ume.model.state_dict().items():
        [ours] = [prefix for prefix in LIGHTNING_NAMES if name.startswith(prefix)]
        state[LIGHTNING_NAMES[ours] + name.removeprefix(ours)] = value
    return {"state_dict": state, "hyper_parameters": {"model_name": "UME_mini", "max_length": 48}, "epoch": 3}


def load_lightning(file: Path, saved: Path) -> Ume:
    return Ume.from_pretrained(file, device="cpu", tokenizers=saved / "tokenizers", num_attention_heads=4)


def test_what_is_loaded_scores_as_what_was_saved(tiny_ume: Ume, saved: Path):
    loaded = Ume.from_pretrained(saved, device="cpu")
    assert scores(loaded) == scores(tiny_ume)
    for modality, sequences in SEQUENCES.items():
        assert loaded.tokenize([*sequences, "<mask>", "é"], modality) == tiny_ume.tokenize(
            [*sequences, "<mask>", "é"], modality
        )
        assert loaded.get_tokenizer(modality).all_special_ids == tiny_ume.get_tokenizer(modality).all_special_ids
    assert loaded.max_length == 64
    assert not loaded.model.training


def test_path_may_be_a_string_and_saving_again_changes_nothing(saved: Path, tmp_path: Path):
    Ume.from_pretrained(str(saved), device="cpu").save_pretrained(tmp_path / "again")
    for name in ("model.safetensors", *(f"tokenizers/{m.value.lower()}/tokenizer.json" for m in Modality)):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes(), name


def test_half_precision_on_disk_is_float32_on_a_cpu(tiny_ume: Ume, tmp_path: Path):
    half = Ume(deepcopy(tiny_ume.model).half(), tiny_ume.tokenizers)
    half.save_pretrained(tmp_path)
    assert {value.dtype for value in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
    for dtype in (None, torch.float16, torch.bfloat16):
        loaded = Ume.from_pretrained(tmp_path, device="cpu", dtype=dtype)
        assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    for own, others in zip(scores(loaded), scores(tiny_ume), strict=True):
        assert own == pytest.approx(others, rel=0.05)


def test_unknown_name_says_what_ships_and_what_a_folder_looks_like():
    with pytest.raises(FileNotFoundError, match=r"'ume-gigantic' not found.*ships.*'\./ume-gigantic'") as caught:
        Ume.from_pretrained("ume-gigantic", device="cpu")
    for shipped in assets().glob("*/config.json"):
        assert shipped.parent.name in str(caught.value)


def test_unknown_name_without_a_slash_does_not_ask_the_network():
    asked, watching = [], True

    def watch(event: str, arguments: tuple) -> None:
        if watching and event in ("socket.connect", "socket.getaddrinfo"):
            asked.append(arguments)

    sys.addaudithook(watch)  # a hook cannot be taken away: it goes quiet at the end of the test
    start = time.monotonic()
    with pytest.raises(FileNotFoundError):
        Ume.from_pretrained("ume-gigantic", device="cpu")
    watching = False
    assert not asked
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("name", ["./absent", "absent.ckpt", "/absent/model", "a/b/c"])
def test_absent_path_is_named(name: str):
    with pytest.raises(FileNotFoundError, match=f"'{name}' not found"):
        Ume.from_pretrained(name, device="cpu")


def test_lightning_checkpoint_gives_the_same_logits(tiny_ume: Ume, saved: Path, lightning: dict, tmp_path: Path):
    torch.save(lightning, tmp_path / "last.ckpt")
    loaded = load_lightning(tmp_path / "last.ckpt", saved)
    ids = torch.randint(0, 1280, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(
            loaded.model(input_ids=ids).logits, tiny_ume.model(input_ids=ids).logits, rtol=0, atol=0
        )
    assert scores(loaded) == scores(tiny_ume)
    assert loaded.max_length == 48


def test_lightning_checkpoint_warns_where_its_heads_are_a_guess(saved: Path, lightning: dict, tmp_path: Path):
    torch.save(lightning, tmp_path / "last.ckpt")
    with pytest.warns(UserWarning, match=r"last\.ckpt.* 32 .*num_attention_heads"):
        Ume.from_pretrained(tmp_path / "last.ckpt", device="cpu", tokenizers=saved / "tokenizers")


def test_lightning_checkpoint_needs_tokenizers(lightning: dict, tmp_path: Path):
    torch.save(lightning, tmp_path / "last.ckpt")
    with pytest.raises(FileNotFoundError, match=r"last\.ckpt.*tokenizers="):
        Ume.from_pretrained(tmp_path / "last.ckpt", device="cpu")


def test_missing_tokenizer_is_named(folder: Path):
    (folder / "tokenizers" / "smiles" / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"smiles.tokenizer\.json"):
        Ume.from_pretrained(folder, device="cpu")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_truncated_lightning_checkpoint_is_named(saved: Path, lightning: dict, tmp_path: Path, share: float):
    file = tmp_path / "cut.ckpt"
    torch.save(lightning, file)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(CheckpointError, match=r"cut\.ckpt"):
        load_lightning(file, saved)


class Bomb:
    """An object whose unpickling creates a file."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def write_pickle(data: object, file: Path) -> None:
    file.write_bytes(pickle.dumps(data, protocol=2))


@pytest.mark.parametrize("write", [torch.save, write_pickle])
@pytest.mark.parametrize("where", ["state_dict", "hyper_parameters", "callbacks"])
def test_code_in_a_checkpoint_is_refused_and_not_run(
    saved: Path, lightning: dict, tmp_path: Path, write: Callable, where: str
):
    bomb = Bomb(tmp_path / "exploded")
    write(lightning | {where: {"bomb": bomb}}, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match=r"evil\.ckpt"):
        load_lightning(tmp_path / "evil.ckpt", saved)
    assert not bomb.target.exists()
    pickle.loads(pickle.dumps(bomb))
    assert bomb.target.exists()  # so it would have been seen


@pytest.mark.parametrize(
    "missing",
    [
        "model.model.embeddings.tok_embeddings.weight",
        "model.model.encoder.layers.0.mlp.Wi.weight",
        "model.model.encoder.layers.1.attn.Wo.weight",
        "model.decoder.1.bias",
    ],
)
def test_lightning_checkpoint_that_lacks_a_tensor_is_named(saved: Path, lightning: dict, tmp_path: Path, missing: str):
    state = {name: value for name, value in lightning["state_dict"].items() if name != missing}
    torch.save(lightning | {"state_dict": state}, tmp_path / "partial.ckpt")
    with pytest.raises(CheckpointError, match=r"partial\.ckpt"):
        load_lightning(tmp_path / "partial.ckpt", saved)


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {"fc.weight": torch.zeros(2, 2)}},
        {"state_dict": {}},
        {"weights": {"fc.weight": torch.zeros(2, 2)}},
        {"fc.weight": torch.zeros(2, 2)},
        torch.zeros(3),
        [1, 2],
    ],
)
def test_checkpoint_of_something_else_is_named(saved: Path, tmp_path: Path, content: object):
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=r"other\.ckpt"):
        load_lightning(tmp_path / "other.ckpt", saved)


def test_truncated_safetensors_is_named(folder: Path):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        Ume.from_pretrained(folder, device="cpu")


def test_safetensors_that_is_none_is_named(folder: Path):
    (folder / "model.safetensors").write_bytes(pickle.dumps({"a": 1}) * 50)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        Ume.from_pretrained(folder, device="cpu")


@pytest.mark.parametrize("missing", ["layers.1.attn.Wo.weight", "decoder.bias", "embeddings.tok_embeddings.weight"])
def test_safetensors_that_lacks_a_tensor_is_named(folder: Path, missing: str):
    state = load_file(folder / "model.safetensors")
    del state[missing]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=rf"model\.safetensors.*{missing}"):
        Ume.from_pretrained(folder, device="cpu")


def test_safetensors_of_another_shape_is_named(folder: Path):
    state = load_file(folder / "model.safetensors")
    state["head.dense.weight"] = torch.zeros(16, 16)
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        Ume.from_pretrained(folder, device="cpu")


def test_another_kind_of_model_is_named(folder: Path):
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "bert"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"damaged .*'ume'.*'bert'"):
        Ume.from_pretrained(folder, device="cpu")


def test_folder_without_a_model_is_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"no UME.*config\.json"):
        Ume.from_pretrained(tmp_path, device="cpu")


def test_config_that_is_not_json_is_named(folder: Path):
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        Ume.from_pretrained(folder, device="cpu")


def test_config_with_an_impossible_shape_is_named(folder: Path):
    config = json.loads((folder / "config.json").read_text()) | {"num_attention_heads": 5}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"damaged.*32.*5"):
        Ume.from_pretrained(folder, device="cpu")


def test_pickled_weights_in_a_folder_are_refused_and_not_run(folder: Path):
    (folder / "model.safetensors").unlink()
    bomb = Bomb(folder / "exploded")
    torch.save({"layers.0.attn.Wo.weight": bomb}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"damaged.*safetensors"):
        Ume.from_pretrained(folder, device="cpu")
    assert not bomb.target.exists()
