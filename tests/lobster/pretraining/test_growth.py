"""A network that is widened keeps its function, and what is new in it can learn."""

import pytest
import torch

from lobster.constants import Modality
from lobster.model import Ume, UmeConfig, UmeForMaskedLM
from lobster.pretraining.growth import widen


def shape(width: int, **changes) -> UmeConfig:
    sizes = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2, "num_attention_heads": 2}
    return UmeConfig(**(sizes | changes))


@pytest.fixture
def networks() -> tuple[UmeForMaskedLM, UmeForMaskedLM]:
    """A network with random weights, and one of twice its width that was widened from it."""
    torch.manual_seed(0)
    small, wide = UmeForMaskedLM(shape(32)).eval(), UmeForMaskedLM(shape(64)).eval()
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    widen(small, wide)
    return small, wide


def test_without_positions_the_function_is_the_same(networks, monkeypatch):
    monkeypatch.setattr("lobster.model.network.sinusoids", lambda n, d, device=None: torch.zeros(n, d))
    ids = torch.randint(30, 1000, (3, 20))
    with torch.no_grad():
        one, other = (network(input_ids=ids).logits for network in networks)
    assert torch.allclose(one, other, atol=2e-4)


def test_all_that_is_new_gets_a_gradient_within_two_steps(networks):
    _, wide = networks
    ids = torch.randint(30, 1000, (8, 20))
    optimizer = torch.optim.SGD(wide.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        wide(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    for layer in wide.layers:
        for weight in (layer.attn.Wqkv.weight, layer.attn.Wo.weight, layer.mlp.Wi.weight, layer.mlp.Wo.weight):
            assert (weight.grad.abs().sum(1) > 0).all()


def test_the_encoder_that_ships_keeps_its_scores():
    """Positions of another width cost it next to nothing."""
    mini = Ume.from_pretrained("ume-mini-base-12M", device="cpu")
    wide = UmeForMaskedLM(UmeConfig(hidden_size=768, intermediate_size=3072))
    widen(mini.model, wide.eval())
    smiles = ["CC(=O)Oc1ccccc1C(=O)O", "CC(C)Cc1ccc(C(C)C(=O)O)cc1", "Cn1c(=O)c2c(ncn2C)n(C)c1=O"]
    for modality, sequences in ((Modality.SMILES, smiles), (Modality.AMINO_ACID, ["MQIFVKTLTGKTITLEVEPSDTIENVKAKIQ"])):
        expected = mini.compute_pseudo_likelihood(sequences, modality)
        assert Ume(wide, mini.tokenizers).compute_pseudo_likelihood(sequences, modality) == pytest.approx(
            expected, rel=0.03
        )


def test_shapes_that_do_not_fit_are_refused():
    small = UmeForMaskedLM(shape(32))
    with pytest.raises(
        ValueError, match="hidden_size is 32 in the small network and 96 in the wide one: expected 2 times"
    ):
        widen(small, UmeForMaskedLM(shape(96)))
    with pytest.raises(ValueError, match=r"num_hidden_layers is 2 .* 3"):
        widen(small, UmeForMaskedLM(shape(64, num_hidden_layers=3)))
