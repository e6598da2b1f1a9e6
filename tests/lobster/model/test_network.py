"""The network against a slow reference written from its description, and as a Hugging Face model."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForMaskedLM

from lobster.model import Ume, UmeConfig, UmeForMaskedLM
from lobster.model.configuration import SIZES
from lobster.model.network import UmeNorm

Weights = dict[str, np.ndarray]


def tiny_network(seed: int = 0, **sizes: int) -> UmeForMaskedLM:
    """Return a random network in float64, its norms not trivial."""
    torch.manual_seed(seed)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4} | sizes
    model = UmeForMaskedLM(UmeConfig(max_position_embeddings=64, **shape))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2 + (parameter.ndim == 1))
    return model.double().eval()


def reference_norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.array([row / math.sqrt(sum(v * v for v in row) / len(row) + 1e-5) * weight for row in x])


def reference_attention(x: np.ndarray, qkv: np.ndarray, out: np.ndarray, heads: int) -> np.ndarray:
    tokens, d = x.shape
    q, k, v = x @ qkv[:d].T, x @ qkv[d : 2 * d].T, x @ qkv[2 * d :].T
    size = d // heads
    result = np.zeros((tokens, d))
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        for i in range(tokens):
            scores = [q[i, own] @ k[j, own] / math.sqrt(size) for j in range(tokens)]
            weights = [math.exp(score - max(scores)) for score in scores]
            for j in range(tokens):
                result[i, own] += weights[j] / sum(weights) * v[j, own]
    return result @ out.T


def reference_logits(ids: list[int], w: Weights, layers: int, heads: int) -> np.ndarray:
    """Return the logits, (tokens, vocabulary), of one sequence, in float64 and one step after the other."""
    x = reference_norm(np.array([w["embeddings.tok_embeddings.weight"][i] for i in ids]), w["embeddings.norm.weight"])
    half = x.shape[1] // 2
    for n in range(len(ids)):
        for k in range(half):
            angle = n * 10000 ** (-k / (half - 1))
            x[n, k] += math.sin(angle)
            x[n, half + k] += math.cos(angle)
    gelu = np.vectorize(lambda t: 0.5 * t * (1 + math.erf(t / math.sqrt(2))))
    for n in range(layers):
        at = f"layers.{n}."
        normed = reference_norm(x, w[at + "attn_norm.weight"])
        x = x + reference_attention(normed, w[at + "attn.Wqkv.weight"], w[at + "attn.Wo.weight"], heads)
        normed = reference_norm(x, w[at + "mlp_norm.weight"])
        x = x + gelu(normed @ w[at + "mlp.Wi.weight"].T) @ w[at + "mlp.Wo.weight"].T
    h = x @ w["head.dense.weight"].T
    h = reference_norm(h / (1 + np.exp(-h)), w["head.norm.weight"])
    return h @ w["decoder.weight"].T + w["decoder.bias"]


@pytest.mark.parametrize("length", [1, 3, 17])
@pytest.mark.parametrize("shape", [{}, {"hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 3}])
def test_network_agrees_with_the_description(length: int, shape: dict[str, int]):
    model = tiny_network(length, **shape)
    ids = torch.randint(0, 1280, (length,)).tolist()
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    expected = reference_logits(ids, weights, model.config.num_hidden_layers, model.config.num_attention_heads)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_changes_nothing(side: str):
    model = tiny_network()
    own, longer = torch.randint(25, 1280, (9,)), torch.randint(25, 1280, (20,))
    padding = torch.full((11,), 6)
    padded = torch.cat([own, padding] if side == "right" else [padding, own])
    mask = torch.ones(2, 20, dtype=torch.long)
    mask[0] = (padded != 6).long()
    with torch.no_grad():
        alone = model(input_ids=own[None]).logits[0]
        together = model(input_ids=torch.stack([padded, longer]), attention_mask=mask).logits
    torch.testing.assert_close(together[0][mask[0].bool()], alone, rtol=0, atol=1e-10)
    assert together.isfinite().all()


@pytest.mark.parametrize("layers", [1, 3])
def test_packed_sequences_have_the_states_of_each_alone(layers: int):
    model = tiny_network(num_hidden_layers=layers)
    runs = [torch.randint(25, 1280, shape) for shape in ((2, 9), (1, 7), (3, 2))]
    at = torch.tensor([0, 8, 20, 24, 30])  # of 31 tokens
    with torch.no_grad():
        alone = torch.cat([model.encode(row[None])[0] for run in runs for row in run])
        torch.testing.assert_close(model.encode_packed(runs), alone, rtol=0, atol=1e-10)
        torch.testing.assert_close(model.encode_packed(runs, at), alone[at], rtol=0, atol=1e-10)


def test_states_of_some_tokens_are_those_of_all():
    model, ids = tiny_network(num_hidden_layers=2), torch.randint(25, 1280, (3, 8))
    mask = torch.arange(8) < torch.tensor([[8], [5], [6]])
    at = (torch.rand(3, 8) < 0.5) & mask
    with torch.no_grad():
        torch.testing.assert_close(model.encode(ids, mask, at), model.encode(ids, mask)[at], rtol=0, atol=1e-10)


def test_the_norm_is_the_same_with_and_without_gradients():
    norm, x = UmeNorm(24, eps=1e-5), 3 * torch.randn(5, 7, 24) + 1
    torch.nn.init.normal_(norm.weight)
    x[0, 0] = 0
    with torch.no_grad():
        torch.testing.assert_close(norm(x), torch.nn.RMSNorm.forward(norm, x), rtol=1e-5, atol=1e-6)
    x.requires_grad_()
    norm(x).sum().backward()
    assert x.grad.isfinite().all()


def test_a_mask_of_ones_is_no_mask():
    model, ids = tiny_network(), torch.randint(25, 1280, (2, 7))
    with torch.no_grad():
        masked = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        torch.testing.assert_close(masked, model(input_ids=ids).logits, rtol=0, atol=1e-10)


def test_loss_is_the_cross_entropy_of_the_labelled_positions():
    model, ids = tiny_network(), torch.randint(25, 1280, (3, 8))
    mask = torch.arange(8) < torch.tensor([[8], [5], [6]])
    labels = torch.full_like(ids, -100)
    labels[0, 2], labels[0, 5], labels[1, 1], labels[2, 4] = 30, 52, 1279, 1264
    with torch.no_grad():
        full = model(input_ids=ids, attention_mask=mask).logits
        output = model(input_ids=ids, attention_mask=mask, labels=labels)
    expected = cross_entropy(full.flatten(0, 1), labels.flatten())
    torch.testing.assert_close(output.loss.double(), expected, rtol=1e-6, atol=0)
    assert output.logits.shape == (4, 1280)
    torch.testing.assert_close(output.logits, full[labels != -100], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("size", "least", "most"),
    [("nano", 2.9e6, 3.3e6), ("mini", 11.5e6, 12.5e6), ("small", 85e6, 92e6), ("medium", 470e6, 490e6)],
)
def test_sizes_have_the_parameters_that_their_names_say(size: str, least: float, most: float):
    with torch.device("meta"):
        model = UmeForMaskedLM(UmeConfig(**SIZES[size]))
    assert least < sum(parameter.numel() for parameter in model.parameters()) < most


def test_auto_model_loads_what_was_saved(tmp_path: Path):
    model, ids = tiny_network().float(), torch.randint(25, 1280, (1, 7))
    model.save_pretrained(tmp_path)
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert type(loaded) is UmeForMaskedLM
    assert loaded.config.num_attention_heads == 4
    with torch.no_grad():
        torch.testing.assert_close(loaded(input_ids=ids).logits, model(input_ids=ids).logits, rtol=0, atol=0)


def test_head_is_untied_from_the_embedding():
    model = tiny_network()
    assert model.decoder.weight.data_ptr() != model.embeddings.tok_embeddings.weight.data_ptr()


@pytest.mark.parametrize(("width", "heads"), [(33, 3), (32, 5), (384, 7)])
def test_width_that_the_heads_cannot_share_is_refused(width: int, heads: int):
    with pytest.raises(ValueError, match=rf"{width}.*{heads}"):
        UmeConfig(hidden_size=width, num_attention_heads=heads)


@pytest.fixture(scope="module")
def foreign(shared: Callable[[str], Path]) -> tuple[Ume, list[dict], dict[str, np.ndarray]]:
    """The UME that another implementation wrote, its cases and the logits of each."""
    folder = shared("parity")
    with pytest.warns(UserWarning, match="attention heads"):
        ume = Ume.from_pretrained(folder / "tiny.ckpt", device="cpu", tokenizers=folder / "tokenizers")
    return ume, json.loads((folder / "tiny.json").read_text()), dict(np.load(folder / "tiny.logits.npz"))


def test_every_case_of_a_foreign_ume_gives_its_ids(foreign):
    ume, cases, _ = foreign
    assert cases
    for case in cases:
        assert ume.tokenize([case["sequence"]], case["modality"]) == [case["input_ids"]], case["sequence"]


def test_every_case_of_a_foreign_ume_gives_its_logits(foreign):
    ume, cases, logits = foreign
    assert len(cases) == len(logits)
    for i, case in enumerate(cases):
        with torch.no_grad():
            own = ume.model(input_ids=torch.tensor([case["input_ids"]])).logits[0].numpy()
        np.testing.assert_allclose(own, logits[f"logits_{i}"], atol=1e-4, rtol=0, err_msg=case["sequence"])
