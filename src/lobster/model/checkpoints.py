"""Where UMEs are found and how they are read: shipped names, folders, Hub ids and Lightning checkpoints.

Checkpoints are data, never code: safetensors, or `torch.load(weights_only=True)`.
"""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast
from transformers.utils import cached_file

from lobster.constants import Modality
from lobster.model.configuration import SIZES, UmeConfig
from lobster.model.network import UmeForMaskedLM
from lobster.shipped import assets, shipped_models
from lobster.tokenization import load_tokenizer

# Parameter names in a Lightning checkpoint, and ours.
_LIGHTNING_PREFIXES = {
    "model.model.embeddings.": "embeddings.",
    "model.model.encoder.layers.": "layers.",
    "model.decoder.0.": "head.",
    "model.decoder.1.": "decoder.",
}
_LIGHTNING_FILES = (".ckpt", ".pt", ".pth")


class CheckpointError(ValueError):
    """A checkpoint is damaged, is not what it says, or holds something other than data."""


def _snapshot(name: str) -> Path:
    from huggingface_hub import snapshot_download

    cached_file(name, "config.json")  # a quick no where the id does not exist or there is no network
    return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.txt"]))


def find_model(name_or_path: str | Path, fetch: Callable[[str], Path] = _snapshot) -> Path:
    """Return the file or folder of a model: a path that exists, a shipped name, or a Hub id's local snapshot.

    Args:
        name_or_path: The model.
        fetch: What finds a Hub id; by default the snapshot of an encoder, which is data in safetensors alone.

    Raises:
        FileNotFoundError: Nothing was found; the message says where it was looked for and what ships.
    """
    name = str(name_or_path)
    if Path(name).expanduser().exists():
        return Path(name).expanduser()
    shipped = shipped_models()
    if name in shipped:
        return assets() / name
    tried = ["no such file or folder", f"not a model that ships ({', '.join(shipped)})"]
    if name.count("/") == 1 and not Path(name).parent.is_dir() and not name.endswith(_LIGHTNING_FILES):
        try:
            return fetch(name)
        except (OSError, ValueError) as error:
            tried.append(f"not on the Hugging Face Hub or no network ({type(error).__name__})")
    raise FileNotFoundError(
        f"model {name!r} not found: {'; '.join(tried)}. Give the path of a folder that save_pretrained wrote, such as "
        f"'./{Path(name).name}'"
    )


def _model_type(folder: Path) -> str | None:
    """Return the kind of model that a folder's config.json names."""
    file = folder / "config.json"
    try:
        return json.loads(file.read_text()).get("model_type")
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{file} is damaged: {error}") from error


def load_folder(folder: Path, dtype: torch.dtype) -> UmeForMaskedLM:
    """Load what `UmeForMaskedLM.save_pretrained` wrote.

    Raises:
        CheckpointError: The folder holds no UME, or its weights are damaged or do not fit its configuration.
    """
    model_type = _model_type(folder)
    if model_type != "ume":
        raise CheckpointError(
            f"{folder} holds no UME: expected a config.json with model_type 'ume', found {model_type!r}"
        )
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise CheckpointError(f"{folder} has no .safetensors weights: only safetensors are loaded from a folder")
    try:
        loaded: Any = UmeForMaskedLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
        model, info = loaded
    except (SafetensorError, RuntimeError, ValueError, OSError) as error:
        raise CheckpointError(f"{weights[0]} is damaged or does not fit config.json: {error}") from error
    wrong = [f"{what} {sorted(info[what])[:3]}" for what in ("missing_keys", "unexpected_keys") if info[what]]
    if wrong:
        raise CheckpointError(f"{weights[0]} does not fit config.json: {', '.join(wrong)}")
    return model


def load_lightning(file: Path, dtype: torch.dtype, num_attention_heads: int | None = None) -> UmeForMaskedLM:
    """Load a Lightning checkpoint of a UME, its sizes read from the weights.

    The number of heads leaves no trace in the weights: it is that of the standard size of the same width, and for any
    other width must be given (else heads of 16 are assumed, with a warning).

    Raises:
        CheckpointError: The file is damaged, holds more than data, or is not a UME.
    """
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and end-of-file errors have no common base
        reason = str(error).split("\n")[0]
        raise CheckpointError(
            f"{file} was refused: it is damaged or holds more than weights ({type(error).__name__}: {reason}). "
            "Nothing in it was executed"
        ) from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise CheckpointError(f"{file} is not a Lightning checkpoint: it has no state_dict")
    try:
        model = _from_state(file, checkpoint, num_attention_heads)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file} does not hold a whole UME: {error}".replace("\n", " ")) from error
    return nn.Module.to(model, dtype)


def _from_state(file: Path, checkpoint: dict[str, Any], num_attention_heads: int | None) -> UmeForMaskedLM:
    """Build the network that a Lightning checkpoint holds."""
    state = _rename(checkpoint["state_dict"])
    vocab_size, width = state["embeddings.tok_embeddings.weight"].shape
    hyper = checkpoint.get("hyper_parameters") or {}
    config = UmeConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=state["layers.0.mlp.Wi.weight"].shape[0],
        num_hidden_layers=len({name.split(".")[1] for name in state if name.startswith("layers.")}),
        num_attention_heads=num_attention_heads or _heads(file, width),
        max_position_embeddings=hyper.get("max_length", UmeConfig().max_position_embeddings),
        mask_rate=hyper.get("mask_percentage", UmeConfig().mask_rate),
    )
    model = UmeForMaskedLM(config)
    model.load_state_dict(state)
    return model


def _rename(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the network's parameters our names; what is not the network's (a loss, a metric) is left out."""
    renamed = {}
    for name, value in state.items():
        theirs = next((prefix for prefix in _LIGHTNING_PREFIXES if name.startswith(prefix)), None)
        if theirs:
            renamed[_LIGHTNING_PREFIXES[theirs] + name.removeprefix(theirs)] = value
        elif name.startswith("model."):
            renamed[name] = value  # loading will name it as unexpected
    return renamed


def _heads(file: Path, width: int) -> int:
    for size in SIZES.values():
        if size["hidden_size"] == width:
            return size["num_attention_heads"]
    heads = max(1, width // 16)
    warnings.warn(
        f"{file} does not record its number of attention heads and {width} is no standard width: {heads} "
        "are assumed; pass num_attention_heads where that is wrong",
        stacklevel=5,
    )
    return heads


def load_tokenizers(folder: Path) -> dict[Modality, PreTrainedTokenizerFast]:
    """Load the tokenizers from those of the folders `smiles`, `amino_acid` and `nucleotide` that there are.

    Raises:
        FileNotFoundError: There is none.
    """
    places = {modality: folder / modality.value.lower() for modality in Modality}
    if not any(place.is_dir() for place in places.values()):
        raise FileNotFoundError(f"{folder} holds none of the folders {', '.join(p.name for p in places.values())}")
    return {modality: load_tokenizer(place) for modality, place in places.items() if place.is_dir()}
