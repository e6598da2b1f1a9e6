"""20,000 rubbish completions through the whole reward, with the encoder that ships: none hurts, none pays like a real one."""

import math
import random
import warnings
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lobster.constants import Modality
from lobster.model import Ume
from lobster.rl_training import DiversityMemory, create_ume_reward_wrapper

BATCH, BATCHES = 100, 200
REAL = {
    Modality.SMILES: ["CC(=O)Oc1ccccc1C(=O)O", "CC(C)Cc1ccc(C(C)C(=O)O)cc1", "O=C(Nc1ccccc1)c1ccc(F)cc1"],
    Modality.AMINO_ACID: ["MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"],
    Modality.NUCLEOTIDE: ["ATGCAGATTTTCGTGAAAACCCTGACCGGTAAAACGATCACGCTGGAAGTGGAACCGTCTGACACCATTGAAAACGTT"],
}
SMILES_PIECES = [
    "C",
    "c1ccccc1",
    "N",
    "O",
    "(",
    ")",
    "=",
    "#",
    "1",
    "2",
    "[nH]",
    "Cl",
    "Br",
    ".",
    "[Na+]",
    "/",
    "C(=O)",
    "%10",
    "@",
    "[C@@H]",
]


def spoilt(text: str, seed: int) -> str:
    """Exchange, drop or double some characters."""
    rng = random.Random(seed)
    return "".join(rng.choice([c, c, c, c, c, "", 2 * c, rng.choice(text)]) for c in text)


ANYTHING = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(SMILES_PIECES), max_size=12).map("".join),
    st.text("ACDEFGHIKLMNPQRSTVWYXBZUO*", max_size=40),
    st.text("ACGTUNacgtun", max_size=60),
    st.builds(spoilt, st.sampled_from([s for real in REAL.values() for s in real]), st.integers(0, 10**9)),
    st.builds(lambda text: f"<smiles>{text}</smiles>", st.text("CNO()=1", max_size=12)),
    st.sampled_from(
        [None, 7, [], {}, [{"role": "assistant", "content": "CCO"}], [{"role": "assistant"}], "\0", "C" * 9000]
    ),
)


@pytest.fixture(scope="module")
def reward():
    return create_ume_reward_wrapper(Ume.from_pretrained("ume-nano-base-3M", device="cpu"), diversity=DiversityMemory())


@pytest.fixture(scope="module")
def best_real(reward, held_out: Callable[[Modality], list[str]]) -> dict[Modality, float]:
    """The best reward of a real sequence of each modality."""
    best = {}
    for modality in Modality:
        count = {Modality.SMILES: 400, Modality.AMINO_ACID: 120, Modality.NUCLEOTIDE: 40}[modality]
        real = [s if modality is Modality.SMILES else s[:240] for s in held_out(modality)[:count]]
        real += REAL[modality]
        best[modality] = max(reward.reward_function(real, [modality] * len(real)))
    return best


def test_20000_completions(reward, best_real):
    seen = 0

    @settings(
        max_examples=BATCHES, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(st.lists(ANYTHING, min_size=BATCH, max_size=BATCH), st.sampled_from([None, *Modality]))
    def feed(completions, modality):
        nonlocal seen
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rewards = reward(completions=completions, modality=[modality] * len(completions))
        seen += len(rewards)
        scored = reward.reward_function.score(
            [c if isinstance(c, str) else None for c in completions], [modality] * BATCH
        )
        for completion, value, item in zip(completions, rewards, scored, strict=True):
            assert math.isfinite(value)
            assert value >= 0
            if item.molecule:
                assert value <= best_real[item.modality], (completion, item)

    feed()
    assert seen >= BATCH * BATCHES
