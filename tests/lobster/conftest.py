"""Fixtures of all tests: a tiny random UME, a tiny policy, and the real data where the checkout has it beside it."""

import signal
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lobster.constants import Modality
from lobster.model import Ume, UmeConfig, UmeForMaskedLM
from lobster.pretraining.policy import policy_tokenizer
from lobster.sequences import read_sequences
from lobster.tokenization import make_tokenizer

# A shell has what it runs in the background ignore it, and so would what is started here to be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parents[2].parent / "shared"
HELD_OUT = {
    Modality.SMILES: "data/smiles/valid.txt.gz",
    Modality.AMINO_ACID: "data/protein/valid.fasta.gz",
    Modality.NUCLEOTIDE: "data/nucleotide/valid.fasta.gz",
}


@pytest.fixture(scope="session")
def tiny_ume() -> Ume:
    """A UME of two layers with random weights, large enough that scores differ; copy it before changing it."""
    config = UmeConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = UmeForMaskedLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(5)
    return Ume(model, {modality: make_tokenizer(modality) for modality in Modality})


@pytest.fixture(scope="session")
def benchmark_module() -> Callable[[str], ModuleType]:
    """Import a file of `benchmarks` by its name."""

    def load(name: str) -> ModuleType:
        spec = spec_from_file_location(name, Path(__file__).parents[2] / "benchmarks" / f"{name}.py")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Find a file or folder of `../shared`; skip the test where it is absent."""

    def find(path: str) -> Path:
        if not (SHARED / path).exists():
            pytest.skip(f"{SHARED / path} is absent")
        return SHARED / path

    return find


@pytest.fixture(scope="session")
def held_out(shared: Callable[[str], Path]) -> Callable[[Modality], list[str]]:
    """Read the held-out sequences of a modality; skip the test where they are absent."""
    return lambda modality: read_sequences(shared(HELD_OUT[modality]))


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
