"""Pretraining a UME: masked language modelling over SMILES, proteins and nucleotides."""

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, set_seed

from lobster.constants import Modality
from lobster.model import Ume, UmeConfig, UmeForMaskedLM
from lobster.model.configuration import SIZES
from lobster.pretraining.growth import widen
from lobster.pretraining.initialization import count_codons, look_at_neighbours
from lobster.pretraining.run import CorpusArguments, RunArguments, train
from lobster.tokenization import make_tokenizer


class MaskingCollator:
    """Puts `<cls_modality> … <eos>` around token ids and replaces a share of each sequence's own tokens by `<mask>`.

    Args:
        tokenizers: The tokenizer of each modality, for its special tokens.
        mask_rate: The share, in (0, 1); or the lowest and the highest share, drawn from evenly for each batch.
    """

    def __init__(self, tokenizers: dict[Modality, PreTrainedTokenizerFast], mask_rate: float | tuple[float, float]):
        self.tokenizers, self.mask_rate = tokenizers, mask_rate

    def __call__(self, modality: Modality, sequences: list[np.ndarray], rng: np.random.Generator) -> dict[str, Tensor]:
        """Return ``input_ids``, ``attention_mask`` and ``labels`` (−100 but at masks), each (sequences, length)."""
        tokenizer = self.tokenizers[modality]
        lengths = np.array([[len(ids)] for ids in sequences])
        position = np.arange(lengths.max() + 2)
        own = (position > 0) & (position <= lengths)
        ids = np.full(own.shape, tokenizer.pad_token_id)
        ids[:, 0] = tokenizer.cls_token_id
        ids[own] = np.concatenate(sequences)
        np.put_along_axis(ids, lengths + 1, tokenizer.eos_token_id, axis=1)
        # The tokens with the lowest random numbers of each row are masked: the same share of every row, one at least.
        rate = self.mask_rate if isinstance(self.mask_rate, float) else rng.uniform(*self.mask_rate)
        draw = np.where(own, rng.random(ids.shape), np.inf)
        count = np.maximum(1, np.round(lengths * rate))
        masked = own & (draw.argsort(1).argsort(1) < count)
        inputs = {
            "input_ids": torch.from_numpy(np.where(masked, tokenizer.mask_token_id, ids)),
            "labels": torch.from_numpy(np.where(masked, ids, -100)),
        }
        if lengths.min() < lengths.max():
            inputs["attention_mask"] = torch.from_numpy(position <= lengths + 1)
        return inputs


def train_ume(
    size: str | None,
    mask_rate: list[float],
    max_length: int,
    codons: bool,
    corpus: CorpusArguments,
    run: RunArguments,
) -> Ume:
    """Train a UME of a named size, or the one that ``run.start`` names, and save it in ``run.output_dir``.

    It reads the modalities that it has learned, those of the start among them. With both, the one that ``run.start`` names
    is widened to that size first. With ``codons`` it is made to count positions in codons (`count_codons`), and its embeddings
    and first layer stay as they are then.
    """
    if not (1 <= len(mask_rate) <= 2 and all(0 < rate < 1 for rate in mask_rate) and mask_rate[0] <= mask_rate[-1]):
        raise ValueError(
            f"mask_rate is {mask_rate}: expected a share of the tokens such as 0.25, or the lowest and highest"
        )
    if codons and not run.start:
        raise ValueError("count_codons is for a trained model, whose first layer it keeps: name one with --start")
    set_seed(run.seed)
    start = Ume.from_pretrained(run.start, device="cpu") if run.start else None
    tokenizers = {modality: make_tokenizer(modality) for modality in Modality} | (start.tokenizers if start else {})
    if start and not size:
        ume = Ume(start.model, tokenizers)
    else:
        model = UmeForMaskedLM(UmeConfig(**SIZES[size or "mini"], mask_rate=sum(mask_rate) / len(mask_rate)))
        if start:
            widen(start.model, model)
        else:
            look_at_neighbours(model)
        ume = Ume(model, tokenizers)
    codons = codons or bool(start and start.model.config.counts_codons)  # one that was widened has to learn it again
    if codons and not ume.model.config.counts_codons:
        print(f"position within a codon: {1 - count_codons(ume):.0%} of the variance explained", flush=True)
    ume.unfreeze()
    if ume.model.config.counts_codons:  # training would blur that: from 99 % of positions to 61 % in 750 steps
        ume.model.embeddings.requires_grad_(False)
        ume.model.layers[0].requires_grad_(False)
    max_length = min(max_length, ume.max_length)

    def tokenize(modality: Modality, sequences: list[str]) -> list[list[int]]:
        tokenizer = ume.get_tokenizer(modality)
        ids = tokenizer(sequences, add_special_tokens=False, split_special_tokens=True, verbose=False).input_ids
        # A piece of a protein is a protein; a piece of a SMILES is none.
        return [row if modality is not Modality.SMILES or len(row) <= max_length - 2 else [] for row in ids]

    collate = MaskingCollator(ume.tokenizers, mask_rate[0] if len(mask_rate) == 1 else (mask_rate[0], mask_rate[1]))
    train(ume.model, tokenize, collate, max_length, corpus, run)
    ume.model.eval()
    learned = {*corpus.files(), *(start.modalities if start else ())}
    ume.tokenizers = {modality: found for modality, found in ume.tokenizers.items() if modality in learned}
    ume.save_pretrained(run.output_dir)
    return ume
