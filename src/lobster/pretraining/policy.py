"""Pretraining a starting policy: a small Llama-type causal language model that writes SMILES."""

import re
from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    set_seed,
)

from lobster.constants import Modality
from lobster.pretraining.corpus import CorpusError
from lobster.pretraining.run import CorpusArguments, RunArguments, train
from lobster.tokenization.vocabulary import SMILES_PATTERN

MAX_LENGTH = 128
_MIN_COUNT_SHARE = 3e-5  # a token rarer than this among all tokens is left out, and the molecules that hold it

_split = re.compile(SMILES_PATTERN).findall


def policy_tokenizer(tokens: list[str]) -> PreTrainedTokenizerFast:
    """Build a SMILES tokenizer for a causal model: `<bos>` before a prompt, nothing after it, and a decoder that joins.

    >>> tokenizer = policy_tokenizer(["C", "O", "[NH+]"])
    >>> tokenizer("C[NH+]").input_ids
    [0, 4, 6]
    >>> tokenizer.decode([0, 4, 6, 1], skip_special_tokens=True)
    'C[NH+]'
    """
    vocabulary = {token: i for i, token in enumerate(("<bos>", "<eos>", "<pad>", "<unk>", *tokens))}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = Split(Regex(SMILES_PATTERN), "isolated")
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
    """Tokenises a batch as `<bos> … <eos>` and pads it on the right."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self.tokenizer = tokenizer

    def __call__(self, modality: Modality, sequences: list[str], rng: np.random.Generator) -> dict[str, Tensor]:
        """Return ``input_ids``, ``attention_mask`` and ``labels`` (−100 at padding), each (sequences, length)."""
        rows = [torch.tensor([*ids, self.tokenizer.eos_token_id]) for ids in self.tokenizer(sequences).input_ids]
        labels = torch.nn.utils.rnn.pad_sequence(rows, True, -100)
        real = labels != -100
        return {
            "input_ids": labels.where(real, self.tokenizer.pad_token_id),
            "attention_mask": real.long(),
            "labels": labels,
        }


def vocabulary(corpus: list[str]) -> list[str]:
    """Return the tokens of a corpus that a small policy should learn, the most frequent first; no `.`: one fragment."""
    counts: Counter[str] = Counter()
    for smiles in corpus:
        counts.update(_split(smiles))
    least = _MIN_COUNT_SHARE * counts.total()
    return [token for token, count in counts.most_common() if count >= least and token != "."]


def usable(corpus: list[str], tokens: Collection[str]) -> list[str]:
    """Return the molecules that the tokens spell and that are no longer than `MAX_LENGTH`.

    Raises:
        CorpusError: None is left.
    """
    known = set(tokens)
    kept = [smiles for smiles in corpus if len(found := _split(smiles)) <= MAX_LENGTH - 2 and known.issuperset(found)]
    if not kept:
        raise CorpusError("no molecule of the corpus is left: each is long or has several fragments or rare tokens")
    return kept


def train_policy(
    corpus: CorpusArguments, run: RunArguments, start: str | None = None, width: int = 256, layers: int = 4
) -> None:
    """Train a SMILES policy, anew or from one that is there, and save it in ``run.output_dir``.

    Args:
        corpus: Which molecules; SMILES alone.
        run: Everything about the run.
        start: A policy's folder to go on from, with its vocabulary.
        width: Width of a new policy.
        layers: Layers of a new policy.
    """
    set_seed(run.seed)
    corpora = corpus.corpora()
    if list(corpora) != [Modality.SMILES]:
        raise CorpusError(f"a policy learns from --smiles alone, got {', '.join(corpora) or 'no file'}")
    molecules = corpora[Modality.SMILES]
    tokenizer: Any
    model: Any
    if start:
        tokenizer = AutoTokenizer.from_pretrained(start)
        model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    else:
        tokenizer = policy_tokenizer(vocabulary(molecules))
        model = _new_policy(tokenizer, width, layers)
    molecules = usable(molecules, tokenizer.get_vocab())
    train(model, CausalCollator(tokenizer), {Modality.SMILES: molecules}, MAX_LENGTH, corpus, run, start)
    model.save_pretrained(run.output_dir)
    tokenizer.save_pretrained(run.output_dir)


def _new_policy(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            max_position_embeddings=MAX_LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
