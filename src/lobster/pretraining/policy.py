"""Pretraining a starting policy: a small Llama-type causal language model that writes sequences of one modality.

SMILES are split atom-wise, proteins by letter and nucleotides by codon, so that what a nucleotide policy writes is in frame.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
import torch
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    set_seed,
)

from lobster.constants import Modality
from lobster.model.policies import load_policy
from lobster.pretraining.corpus import CorpusError
from lobster.pretraining.run import CorpusArguments, RunArguments, train
from lobster.sequences import read_sequences
from lobster.tokenization.vocabulary import SMILES_PATTERN

MAX_LENGTH = 128
_MIN_COUNT_SHARE = 3e-5  # a token rarer than this among all tokens is left out, and the sequences that hold it

# How sequences are split into tokens.
PATTERNS = {
    Modality.SMILES: SMILES_PATTERN,
    Modality.AMINO_ACID: r"[\s\S]",
    Modality.NUCLEOTIDE: r"[ACGTacgt]{3}|[\s\S]",
}


@dataclass
class PolicyArguments:
    """Which policy to train, and on which spellings."""

    width: int = field(default=256, metadata={"help": "width of a new policy, a multiple of 32"})
    layers: int = field(default=4, metadata={"help": "layers of a new policy"})
    randomised: float = field(
        default=0.0,
        metadata={"help": "share of the SMILES that are learned in a random spelling (Arús-Pous et al., 2019)"},
    )

    def __post_init__(self) -> None:
        if self.width < 32 or self.width % 32 or self.layers < 1:
            raise ValueError(f"width is {self.width}, layers {self.layers}: expected a multiple of 32, and at least 1")
        if not 0 <= self.randomised <= 1:
            raise ValueError(f"randomised is {self.randomised}: expected a share, from 0 to 1")


def policy_tokenizer(tokens: Sequence[str], modality: Modality) -> PreTrainedTokenizerFast:
    """Build a tokenizer for a causal model: `<bos>` before a prompt, nothing after it, and a decoder that joins.

    >>> tokenizer = policy_tokenizer(["C", "O", "[NH+]"], Modality.SMILES)
    >>> tokenizer("C[NH+]").input_ids
    [0, 4, 6]
    >>> tokenizer.decode([0, 4, 6, 1], skip_special_tokens=True)
    'C[NH+]'
    >>> policy_tokenizer(["ATG", "TAA"], Modality.NUCLEOTIDE).tokenize("ATGTAA")
    ['ATG', 'TAA']
    """
    vocabulary = {token: i for i, token in enumerate(("<bos>", "<eos>", "<pad>", "<unk>", *tokens))}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = Split(Regex(PATTERNS[modality]), "isolated")
    backend.decoder = Fuse()
    backend.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        padding_side="left",
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )


class CausalCollator:
    """Puts `<bos> … <eos>` around token ids and pads them on the right."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self.tokenizer = tokenizer

    def __call__(self, modality: Modality, sequences: list[np.ndarray], rng: np.random.Generator) -> dict[str, Tensor]:
        """Return ``input_ids``, ``attention_mask`` and ``labels`` (−100 at padding), each (sequences, length)."""
        first, last = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        rows = [torch.tensor([first, *ids, last]) for ids in sequences]
        labels = torch.nn.utils.rnn.pad_sequence(rows, True, -100)
        real = labels != -100
        return {
            "input_ids": labels.where(real, self.tokenizer.pad_token_id),
            "attention_mask": real.long(),
            "labels": labels,
        }


def vocabulary(corpus: Sequence[str], modality: Modality) -> list[str]:
    """Return the tokens of a corpus that a small policy should learn, the most frequent first; no `.`: one fragment."""
    split = re.compile(PATTERNS[modality]).findall
    counts: Counter[str] = Counter()
    for sequence in corpus:
        counts.update(split(sequence))
    least = _MIN_COUNT_SHARE * counts.total()
    return [token for token, count in counts.most_common() if count >= least and token != "."]


def usable(ids: Sequence[int], unknown: int) -> bool:
    """Say whether a policy can learn a sequence: all its tokens are known, and it has room for `<bos>` and `<eos>`."""
    return len(ids) <= MAX_LENGTH - 2 and unknown not in ids


def train_policy(policy: PolicyArguments, corpus: CorpusArguments, run: RunArguments) -> None:
    """Train a policy on one modality, anew or from ``run.start`` with its vocabulary, and save it in ``run.output_dir``.

    Args:
        policy: The size of a new policy, and the spellings of SMILES.
        corpus: Which sequences; of one modality. Those with rare tokens or more than `MAX_LENGTH` are left out.
        run: Everything about the run.

    Raises:
        CorpusError: No file or several were named, or one has no sequence of its modality, or leaves nothing to train on.
    """
    set_seed(run.seed)
    files = corpus.files()
    if len(files) != 1:
        raise CorpusError(f"a policy learns from the file of one modality, got {', '.join(files) or 'no file'}")
    [(modality, file)] = files.items()
    tokenizer: Any
    model: Any
    if run.start:
        model, tokenizer = load_policy(run.start)
        if hasattr(model, "merge_and_unload"):  # a LoRA adapter
            model = model.merge_and_unload()
    else:
        tokenizer = policy_tokenizer(vocabulary(read_sequences(file), modality), modality)
        model = _new_policy(tokenizer, policy)

    def tokenize(modality: Modality, sequences: list[str]) -> list[list[int]]:
        if modality is Modality.SMILES and policy.randomised:
            sequences = [_respelled(smiles, policy.randomised, run.seed) for smiles in sequences]
        rows = tokenizer(sequences, add_special_tokens=False, verbose=False).input_ids
        return [ids if usable(ids, tokenizer.unk_token_id) else [] for ids in rows]

    train(model, tokenize, CausalCollator(tokenizer), MAX_LENGTH, corpus, run)
    model.save_pretrained(run.output_dir)
    tokenizer.save_pretrained(run.output_dir)


def _respelled(smiles: str, share: float, seed: int) -> str:
    """Return a SMILES, or a share of them in a random spelling; which, and how, follows from the SMILES itself."""
    from lobster.sequences.chemistry import random_spelling

    draw = crc32(smiles.encode(), seed)
    return random_spelling(smiles, draw) if draw < share * 2**32 else smiles


def _new_policy(tokenizer: PreTrainedTokenizerFast, policy: PolicyArguments) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=policy.width,
            intermediate_size=3 * policy.width,
            num_hidden_layers=policy.layers,
            num_attention_heads=policy.width // 32,
            max_position_embeddings=MAX_LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
