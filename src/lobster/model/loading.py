"""`load_encoder`: any encoder by its name, a UME or a masked language model of the Hugging Face library."""

import contextlib
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import cached_file

from lobster.constants import Modality
from lobster.device import resolve_device, resolve_dtype
from lobster.model.checkpoints import CheckpointError, find_model
from lobster.model.encoder import Encoder
from lobster.model.masked_language_model import MODALITY_KEY, MaskedLanguageModel
from lobster.model.ume import Ume
from lobster.tokenization.vocabulary import SMILES_PATTERN

_BERT_TOKENS = {
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
}


def load_encoder(
    name_or_path: str | Path,
    modality: Modality | str | None = None,
    device: str | torch.device | None = None,
    *,
    tokenizer: PreTrainedTokenizerBase | str | Path | None = None,
    dtype: torch.dtype | None = None,
) -> Encoder:
    """Load an encoder: a UME, or any masked language model of the Hugging Face library (ESM-2, ChemBERTa, your own).

    Args:
        name_or_path: A name that ships, a folder that `save_pretrained` wrote, a Hub id, or a UME's Lightning `.ckpt`.
        modality: What it reads, for a vocabulary that can write several; of a UME, one that it must read.
        device: Where to put it; CUDA if there is one by default.
        tokenizer: A tokenizer, or the folder or Hub id of one, where the model's own is missing or is no good; of a `.ckpt`, the
            folder of the three tokenizers (`Ume.from_pretrained`).
        dtype: Precision of the weights; float32 by default, and on a CPU always.

    Raises:
        FileNotFoundError: Nothing goes by that name.
        CheckpointError: The checkpoint is damaged, is no masked language model, or lacks weights.
        ValueError: The vocabulary cannot write the modality, or several and none was said (`MaskedLanguageModel`).

    >>> load_encoder("ume-nano-base-3M", device="cpu").modalities
    [<Modality.SMILES: 'SMILES'>, <Modality.AMINO_ACID: 'amino_acid'>, <Modality.NUCLEOTIDE: 'nucleotide'>]
    """
    path = find_model(name_or_path, _snapshot)
    device = resolve_device(device)
    if path.is_file() or _config(path).model_type == "ume":
        if isinstance(tokenizer, PreTrainedTokenizerBase):
            raise TypeError(f"{name_or_path} is a UME: it has three tokenizers; expected the folder of them")
        ume = Ume.from_pretrained(path, device, tokenizers=tokenizer, dtype=dtype)
        if modality is not None:
            ume.get_tokenizer(modality)
        return ume
    model = _load_network(path, resolve_dtype(device, dtype)).to(device)
    modality = modality or getattr(model.config, MODALITY_KEY, None)
    try:
        encoder = _with_tokenizer(model, path, tokenizer, modality)
    except ValueError as error:
        raise ValueError(f"{name_or_path}: {error}") from error
    encoder.folder = path
    return encoder


def _snapshot(name: str) -> Path:
    """Fetch a Hub id: safetensors, or where there are none, the weights that `torch.load(weights_only=True)` reads."""
    from huggingface_hub import snapshot_download

    data = ["*.json", "*.txt", "*.model"]
    cached_file(name, "config.json")  # a quick no where the id does not exist or there is no network
    path = Path(snapshot_download(name, allow_patterns=[*data, "*.safetensors"]))
    return path if list(path.glob("*.safetensors")) else Path(snapshot_download(name, allow_patterns=[*data, "*.bin"]))


def _config(path: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} holds no model that transformers knows: {_line(error)}; one with its own code is loaded with that code, "
            "then MaskedLanguageModel(model, tokenizer, modality)"
        ) from error


def _load_network(path: Path, dtype: torch.dtype) -> Any:
    """Load a network with its head.

    Raises:
        CheckpointError: It is no masked language model, or weights are missing, which would be random numbers.
    """
    config = _config(path)
    try:
        loaded: Any = AutoModelForMaskedLM.from_pretrained(
            path, config=config, dtype=dtype, trust_remote_code=False, output_loading_info=True
        )
    except (SafetensorError, RuntimeError, ValueError, OSError) as error:
        raise CheckpointError(f"{path} is no masked language model, or is damaged: {_line(error)}") from error
    model, info = loaded
    if lacking := sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}):
        raise CheckpointError(
            f"{path} lacks {len(lacking)} weights of a {config.model_type} masked language model, {', '.join(lacking[:3])} among "
            "them: it has no such head, or its own code; load that, then MaskedLanguageModel(model, tokenizer, modality)"
        )
    return model


def _with_tokenizer(model: Any, path: Path, tokenizer: Any, modality: Modality | str | None) -> MaskedLanguageModel:
    """Put a network and its tokenizer together: the one given, else the folder's, else its vocab.txt read atom-wise."""
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        return MaskedLanguageModel(model, tokenizer, modality)
    source = tokenizer or path
    try:
        return MaskedLanguageModel(model, _read_tokenizer(source), modality)
    except ValueError as error:
        if tokenizer is None and (found := _atom_wise_tokenizer(path / "vocab.txt")):
            with contextlib.suppress(ValueError):
                return MaskedLanguageModel(model, found, modality)
        raise error


def _read_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # without its files transformers ends in errors of many kinds
        raise ValueError(f"no tokenizer can be read ({_line(error)}): pass tokenizer=") from error


def _atom_wise_tokenizer(file: Path) -> PreTrainedTokenizerFast | None:
    """Read BERT's vocab.txt for SMILES split atom-wise, or letters, where each of its tokens is one atom or letter so.

    What only reactions have, such as ``>>``, does not count. None where the file is no such vocabulary.
    """
    words = file.read_text().split() if file.is_file() else []
    symbols = [word for word in words if word not in _BERT_TOKENS.values() and ">" not in word]
    if not {*_BERT_TOKENS.values()} <= {*words}:
        return None
    if not all(re.fullmatch(SMILES_PATTERN, symbol) for symbol in symbols):
        return None
    vocabulary = {word: number for number, word in enumerate(words)}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = Split(Regex(SMILES_PATTERN), "isolated")
    around = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    backend.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **_BERT_TOKENS)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()):.300}"
