"""Pretraining a UME: masked language modelling over SMILES, proteins and nucleotides."""

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, set_seed

from lobster.constants import Modality
from lobster.model import Ume, UmeConfig, UmeForMaskedLM
from lobster.model.configuration import SIZES
from lobster.pretraining.run import CorpusArguments, RunArguments, train
from lobster.tokenization import make_tokenizer


class MaskingCollator:
    """Tokenises a batch and replaces a share of each sequence's own tokens by `<mask>`."""

    def __init__(self, tokenizers: dict[Modality, PreTrainedTokenizerFast], mask_rate: float, max_length: int):
        self.tokenizers, self.mask_rate, self.max_length = tokenizers, mask_rate, max_length

    def __call__(self, modality: Modality, sequences: list[str], rng: np.random.Generator) -> dict[str, Tensor]:
        """Return ``input_ids``, ``attention_mask`` and ``labels`` (−100 but at masks), each (sequences, length)."""
        tokenizer = self.tokenizers[modality]
        encoded = tokenizer(sequences, padding=True, truncation=True, max_length=self.max_length, return_tensors="np")
        ids, attention = encoded["input_ids"], encoded["attention_mask"].astype(bool)
        own = attention & (ids != tokenizer.cls_token_id) & (ids != tokenizer.eos_token_id)
        # The tokens with the lowest random numbers of each row are masked: the same share of every row, one at least.
        draw = np.where(own, rng.random(ids.shape), np.inf)
        count = np.maximum(1, np.round(own.sum(1) * self.mask_rate)).astype(int)
        masked = own & (draw.argsort(1).argsort(1) < count[:, None])
        labels = np.where(masked, ids, -100)
        inputs = {"input_ids": torch.from_numpy(np.where(masked, tokenizer.mask_token_id, ids))}
        if not attention.all():
            inputs["attention_mask"] = torch.from_numpy(attention)
        return inputs | {"labels": torch.from_numpy(labels)}


def train_ume(size: str, corpus: CorpusArguments, run: RunArguments) -> Ume:
    """Train a UME of a named size and save it in ``run.output_dir``."""
    set_seed(run.seed)
    model = UmeForMaskedLM(UmeConfig(**SIZES[size]))
    tokenizers = {modality: make_tokenizer(modality) for modality in Modality}
    max_length = model.config.max_position_embeddings
    collate = MaskingCollator(tokenizers, model.config.mask_rate, max_length)
    train(model, collate, corpus.corpora(), max_length, corpus, run)
    ume = Ume(model, tokenizers)
    ume.save_pretrained(run.output_dir)
    return ume
