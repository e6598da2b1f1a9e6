"""A tiny policy for trainers."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lobster.constants import Modality
from lobster.pretraining.policy import policy_tokenizer


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory) -> Path:
    """A folder with an untrained Llama-type policy that writes chains of C, N and O."""
    folder = tmp_path_factory.mktemp("policy")
    tokenizer = policy_tokenizer(["C", "N", "O"], Modality.SMILES)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=2,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
