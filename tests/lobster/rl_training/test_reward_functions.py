"""Rewards: right for molecules, 0 for everything else, never an exception, NaN or infinity."""

import math
import pickle
import subprocess
import sys
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lobster.constants import Modality
from lobster.model import Ume
from lobster.rl_training import DiversityMemory, UmeRewardFunction, compute_pseudo_likelihood, create_ume_reward_wrapper
from lobster.scoring import Component, ScoringError, ScoringFunction
from lobster.scoring.scorer import MAX_FAILED_CALLS


@pytest.fixture
def reward(tiny_ume) -> UmeRewardFunction:
    return UmeRewardFunction(tiny_ume)


class BrokenUme(Ume):
    """A UME that cannot score, or scores NaN."""

    def __init__(self, ume: Ume, nan: bool = False):
        super().__init__(ume.model, ume.tokenizers)
        self.nan = nan

    def compute_pseudo_likelihood(self, sequences, *args, **kwargs):
        if self.nan:
            return [math.nan] * len(sequences)
        raise RuntimeError("the accelerator is on fire")


def test_reward_is_pseudo_likelihood_over_temperature(tiny_ume):
    smiles = ["CC(=O)Oc1ccccc1C(=O)O", "CC(C)Cc1ccc(C(C)C(=O)O)cc1", "Cn1c(=O)c2c(ncn2C)n(C)c1=O"]
    expected = tiny_ume.compute_pseudo_likelihood(smiles, "SMILES")
    for temperature in (0.1, 1.0, 3.0):
        got = UmeRewardFunction(tiny_ume, temperature)(smiles)
        assert got == pytest.approx([p / temperature for p in expected])


def test_defaults_are_those_of_the_contract(tiny_ume):
    reward = UmeRewardFunction(tiny_ume)
    assert (reward.temperature, reward.batch_size) == (0.1, 8)
    assert compute_pseudo_likelihood(tiny_ume, ["CCO"], Modality.SMILES) == tiny_ume.compute_pseudo_likelihood(
        ["CCO"], "SMILES"
    )


def test_the_molecule_counts_not_its_spelling(reward):
    spellings = reward(["OCC", "CCO", "C(C)O", "  CCO\n"])
    assert len(set(spellings)) == 1
    assert spellings[0] > 0


def test_letters_of_a_nucleotide_count_not_their_case(reward):
    upper, lower = reward(["ATGCGTACGTTAG", "atgcgtacgttag"])
    assert upper == lower > 0


@pytest.mark.parametrize(
    ("modality", "spellings"),
    [
        (
            None,
            [
                "ATGCGTACGTTAG",
                "AUGCGUACGUUAG",
                "augcguacguuag",
                "<rna>AUGCGUACGTTAG</rna>",
                "<dna>ATG CGTACG\nTTAG</dna>",
            ],
        ),
        ("nucleotide", ["ATGCGTACGTTAG", "ATGCGUACGTTAG", "  1 atgcgtacgt\n 11 tag\n", ">x\nATGCG\nTACGTTAG\n>y\nA"]),
        (
            None,
            [
                "MKTVRQERLKS",
                "MKTVRQERLKS*",
                ">p1 of me\nMKTVRQ\nERLKS",
                "MKTVRQ\nERLKS",
                "<protein>mktv rqerlks</protein>",
            ],
        ),
        ("amino_acid", ["MKTVRQERLKS", "mktvrqerlks", "MKTVR QERLKS 11", "1 MKTVRQERLKS*\n"]),
        (None, ["C=CCCO", "[H]/C=C/CCO", "[CH2:1]=C[13CH2]CO", "<smiles> C=CCCO\n</smiles>"]),
    ],
)
def test_spellings_of_one_molecule_score_the_same_and_pay_once(tiny_ume, reward, modality, spellings):
    assert set(reward(spellings, [modality] * len(spellings))) == {reward(spellings[:1], [modality])[0]}
    assert reward(spellings[:1]) > [0.0]
    wrapper = create_ume_reward_wrapper(tiny_ume, diversity=DiversityMemory())
    first, *again = wrapper(completions=spellings, modality=[modality] * len(spellings))
    assert first > 0
    assert again == [0.0] * len(again)


def test_options_of_smiles_and_of_long_sequences(tiny_ume):
    points, isotope, protein = "*CCO", "[2H]CCO", "MKTVRQERLKSIVRILERSK" * 10
    plain = UmeRewardFunction(tiny_ume)
    assert [s.outcome.value for s in plain.score([points, isotope, protein])] == ["unparsable", "scored", "too_long"]
    assert plain.score([isotope])[0].sequence == "CCO"
    options = {"attachment_points": True, "isotopes": True}
    reward = create_ume_reward_wrapper(tiny_ume, smiles_options=options, long_sequences="windows").reward_function
    items = reward.score([points, isotope, protein, "C" * 100])
    assert [item.outcome.value for item in items] == ["scored", "scored", "scored", "too_long"]
    assert items[1].sequence == "[2H]CCO"
    expected = tiny_ume.compute_pseudo_likelihood([protein], "amino_acid", long_sequences="windows")
    assert items[2].pseudo_likelihood == pytest.approx(expected[0])
    with pytest.raises(ValueError, match="long_sequences is 'window'"):
        UmeRewardFunction(tiny_ume, long_sequences="window")
    with pytest.raises(ValueError, match="smiles_options has isotope=True"):
        UmeRewardFunction(tiny_ume, smiles_options={"isotope": True})


@pytest.mark.parametrize(
    ("completion", "modality", "reason"),
    [
        ("", None, "empty"),
        ("   ", "SMILES", "empty"),
        ("hello world", None, "undetectable"),
        ("C1CC", None, "undetectable"),
        ("C1CC", "SMILES", "unparsable"),
        ("CCO ethanol", "SMILES", "unparsable"),
        ("CCO\0", "SMILES", "unparsable"),
        ("😀", "SMILES", "unparsable"),
        ("MKTJ", "amino_acid", "unparsable"),
        ("OC1=CC=C~N1", None, "unparsable"),
        ("*c1ccc(CC*)cc1C(=O)NC", "SMILES", "unparsable"),
        ("[Rf]", "SMILES", "unknown_token"),
        ("[Pt]<-[o]1cccc1", None, "unknown_token"),
        ("CCO\nCCN", None, "undetectable"),
        ("MKT VRQ ERL", None, "undetectable"),
        (">only a header", "amino_acid", "unparsable"),
        ("MKTVRQERLK", "SMILES", "wrong_modality"),
        ("c1ccccc1", "amino_acid", "wrong_modality"),
        ("c1ccccc1", "nucleotide", "wrong_modality"),
        ("<dna>ATGC</dna>", "SMILES", "wrong_modality"),
        ("C" * 100, "SMILES", "too_long"),
        ("M" * 100, "amino_acid", "too_long"),
        ("acgt" * 100_000, "nucleotide", "too_long"),
        ("C" * 1_000_000, None, "too_long"),
        ("<smiles>" * 100_000, "SMILES", "too_long"),
        (None, None, "not_text"),
        (3.5, "SMILES", "not_text"),
        (["CCO"], None, "not_text"),
        (b"CCO", None, "not_text"),
    ],
)
def test_what_is_no_molecule_gets_zero_and_is_counted(reward, completion, modality, reason):
    assert reward([completion], [modality]) == [0.0]
    assert reward.get_statistics()["zero_rewards"] == {reason: 1}


def test_the_longest_that_fits_is_scored_and_one_more_is_not(reward):
    room = reward.encoder.max_length - 2
    fits, too_long = reward(["M" * room, "M" * (room + 1)], ["amino_acid"] * 2)
    assert fits > 0.0 == too_long


def test_any_molecule_beats_any_failure(reward):
    molecules = ["C", "[Xe]", "C" * 60, "[13CH3][2H]", "N" * 20, "W" * 30, "acgtn"]
    assert min(reward(molecules)) > max(reward(["", "C1CC", "hello"])) == 0.0


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=40), st.text("CNOPScn()=#123[]+-@Hl.%/\\ ", max_size=40)), max_size=6))
def test_any_text_gets_a_finite_reward_that_is_not_negative(tiny_ume, texts):
    reward = UmeRewardFunction(tiny_ume)
    rewards = reward(texts)
    assert len(rewards) == len(texts)
    assert all(math.isfinite(r) and 0 <= r <= 10 for r in rewards)


@pytest.mark.parametrize("rubbish", [0, -1, math.nan, math.inf, 1e-40, True, None, "hot", [0.1]])
def test_a_temperature_must_be_a_positive_number(tiny_ume, rubbish):
    for temperature in (rubbish, {"SMILES": 1, "amino_acid": rubbish}):
        with pytest.raises(ValueError, match=r"temperature is .*: expected a positive number"):
            UmeRewardFunction(tiny_ume, temperature)


@pytest.mark.parametrize("rubbish", [0, 2.5, True, "8", None])
def test_a_batch_size_must_be_a_whole_number(tiny_ume, rubbish):
    with pytest.raises(ValueError, match=r"batch_size is .*: expected a whole number"):
        UmeRewardFunction(tiny_ume, batch_size=rubbish)


def test_each_modality_may_have_a_temperature(tiny_ume):
    sequences = ["CC(=O)Oc1ccccc1C(=O)O", "MKTVRQERLKSIVRILER", "ATGCGTACGTTAG", "C1CC"]
    one = UmeRewardFunction(tiny_ume, 1)(sequences)
    reward = UmeRewardFunction(tiny_ume, {"smiles": 0.5, Modality.AMINO_ACID: "1e-2"})
    assert reward.temperatures == {Modality.SMILES: 0.5, Modality.AMINO_ACID: 0.01, Modality.NUCLEOTIDE: 0.1}
    expected = [2 * one[0], 100 * one[1], 10 * one[2], 0]
    assert reward(sequences) == pytest.approx(expected)
    wrapper = create_ume_reward_wrapper(tiny_ume, {"smiles": 0.5, "AMINO_ACID": 0.01})
    assert wrapper(completions=sequences) == pytest.approx(expected)
    reward.temperature = 1
    assert reward(sequences) == one
    with pytest.raises(ValueError, match="modality 'protein' is unknown: expected one of SMILES"):
        UmeRewardFunction(tiny_ume, {"protein": 0.01})
    with pytest.raises(ValueError, match="a modality is named twice"):
        UmeRewardFunction(tiny_ume, {"smiles": 0.01, "SMILES": 0.1})


def test_one_modality_may_be_said_for_all(reward):
    sequences = ["CCCC", "CCCCC"]
    assert reward(sequences, "nucleotide") == reward(sequences, [Modality.NUCLEOTIDE] * 2)
    with pytest.raises(ValueError, match="2 sequences and 1 modalities: expected as many"):
        reward(sequences, ["SMILES"])


def test_one_string_instead_of_a_list_is_an_error(reward):
    with pytest.raises(TypeError, match=r"pass \['CCO'\]"):
        reward("CCO")


def test_unknown_modality_names_the_choices(reward):
    with pytest.raises(ValueError, match="expected one of SMILES, amino_acid, nucleotide"):
        reward(["CCO"], ["lipid"])


def test_statistics(reward):
    rewards = reward(["CCO", "MKTVRQERLK", "", "C1CC"], [None, None, None, "SMILES"])
    got = reward.get_statistics()
    assert got["count"] == 4
    assert got["mean"] == pytest.approx(sum(rewards) / 4)
    assert (got["min"], got["max"]) == (0.0, max(rewards))
    assert got["by_modality"]["amino_acid"]["count"] == 1
    assert got["by_modality"]["SMILES"] == {
        "count": 2,
        "mean": pytest.approx(rewards[0] / 2),
        "min": 0.0,
        "max": rewards[0],
    }
    assert got["zero_rewards"] == {"empty": 1, "unparsable": 1}
    reward.reset_statistics()
    assert reward.get_statistics()["count"] == 0


def test_a_scoring_error_gives_zeros_a_warning_and_a_count_and_then_an_exception(tiny_ume):
    reward = UmeRewardFunction(BrokenUme(tiny_ume))
    for _ in range(MAX_FAILED_CALLS - 1):
        with pytest.warns(UserWarning, match="on fire"):
            assert reward(["CCO", "CCN"]) == [0.0, 0.0]
    assert reward.get_statistics()["zero_rewards"] == {"scoring_failed": 2 * (MAX_FAILED_CALLS - 1)}
    with (
        pytest.warns(UserWarning, match="on fire"),
        pytest.raises(RuntimeError, match=r"the encoder failed on every .* is broken: .*on fire"),
    ):
        reward(["CCO"])


def test_a_nan_score_is_a_failure(tiny_ume):
    with pytest.warns(UserWarning, match="not a finite number"):
        assert UmeRewardFunction(BrokenUme(tiny_ume, nan=True))(["CCO"]) == [0.0]


def test_calls_with_nothing_to_score_do_not_count_as_failures(tiny_ume):
    reward = UmeRewardFunction(BrokenUme(tiny_ume))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(MAX_FAILED_CALLS - 1):
            reward(["CCO"])
        for _ in range(5):
            assert reward(["", "C1CC"]) == [0.0, 0.0]


def test_one_success_forgets_the_failures(tiny_ume):
    reward = UmeRewardFunction(BrokenUme(tiny_ume))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            for _ in range(MAX_FAILED_CALLS - 1):
                reward(["CCO"])
            reward.encoder, broken = tiny_ume, reward.encoder
            assert reward(["CCO"])[0] > 0
            reward.encoder = broken


ETHERS = ["CCO", "CCCO", "CCCCO", "CCCCCO"]


class Flaky:
    """A component that fails on what it is told to."""

    def __init__(self, failing=()):
        self.failing, self.asked = set(failing), []

    def __call__(self, smiles):
        self.asked.append(smiles)
        return None if smiles in self.failing else 0.5


def scored_by(*components, **settings):
    return ScoringFunction([Component(c, f"c{i}") for i, c in enumerate(components)], **settings)


@pytest.mark.parametrize("combine", ["geometric", "arithmetic"])
def test_a_component_that_always_fails_ends_the_run_after_a_few_calls(tiny_ume, combine):
    reward = create_ume_reward_wrapper(
        tiny_ume, scoring=scored_by(Flaky(), Flaky(ETHERS), combine=combine), diversity=DiversityMemory()
    )
    with pytest.warns(UserWarning, match="component 'c1' failed"):
        rewards = [reward(completions=[*ETHERS, "C1CC"]) for _ in range(MAX_FAILED_CALLS - 1)]
    assert rewards == [[0.0] * 5] * 2
    statistics = reward.reward_function.get_statistics()
    assert statistics["zero_rewards"] == {"scoring_failed": 8, "undetectable": 2}
    assert statistics["failed_components"] == {"c1": 8}
    with pytest.raises(
        RuntimeError,
        match=r"component 'c1' failed on every sequence of 3 calls in a row, .*: TypeError: expected a number, got None",
    ):
        reward(completions=ETHERS)


def test_one_that_fails_on_some_does_not(tiny_ume):
    reward = UmeRewardFunction(tiny_ume, scoring=scored_by(Flaky(ETHERS[:2])))
    with pytest.warns(UserWarning, match="said once"):
        rewards = [reward([*ETHERS[:2], "C" * n]) for n in range(1, 3 * MAX_FAILED_CALLS)]
    assert rewards == [[0, 0, 5]] * len(rewards)
    for _ in range(3 * MAX_FAILED_CALLS):  # nobody is asked
        assert reward(["C", "C1CC", "MKT"])[:2] == [5, 0]


def test_what_failed_once_is_asked_again(tiny_ume):
    flaky = Flaky(["CCO"])
    memory = DiversityMemory()
    reward = create_ume_reward_wrapper(tiny_ume, scoring=scored_by(flaky), diversity=memory)
    with pytest.warns(UserWarning, match="'CCO', which scores 0"):
        failed, other = reward(completions=["CCO", "CCN"])
    assert failed == 0 < other
    assert (len(memory), reward.top_sequences.unique) == (1, 1)
    flaky.failing.clear()
    assert reward(completions=["CCO", "CCN"])[0] > 0
    assert [row["sequence"] for row in reward.top_sequences.best] == ["CCN", "CCO"]
    reward(completions=["CCO"])
    assert flaky.asked == ["CCO", "CCN", "CCO"]


def test_scores_of_a_file_that_was_rewritten_are_forgotten(tiny_ume, tmp_path):
    file = tmp_path / "references.smi"
    file.write_text("CCN\n")
    components = [{"kind": "similarity", "references": str(file)}]
    reward = UmeRewardFunction(tiny_ume, 1, scoring={"components": components})
    assert reward(["CCO"])[0] < 1
    file.write_text("CCO\nCCN\n")
    assert reward(["CCO"]) == [1]


def test_without_a_component_that_uses_it_the_ume_is_not_run(tiny_ume):
    reward = create_ume_reward_wrapper(BrokenUme(tiny_ume), 1, scoring={"components": [{"kind": "gravy", "transform":
        {"kind": "step", "low": -9}}, {"kind": "qed"}]})  # fmt: skip
    metrics, columns = {}, {}
    long = "MKTVRQERLK" * 1000  # longer than the UME and any SMILES
    got = reward(completions=["CCO", long, "C1CC"], log_metric=metrics.__setitem__, log_extra=columns.__setitem__)
    assert got == [pytest.approx(0.41, abs=0.01), 1, 0]
    assert metrics["ume_reward/valid"] == pytest.approx(2 / 3)
    assert not [name for name in (*metrics, *columns) if "pseudo_likelihood" in name]
    assert columns["ume_reward/outcome"] == ["scored", "scored", "undetectable"]
    assert math.isnan(reward.reward_function.score(["CCO"])[0].pseudo_likelihood)


def test_a_scoring_function_may_be_a_mapping_or_a_file(tiny_ume, tmp_path):
    file = tmp_path / "scoring.yaml"
    file.write_text("components: [{kind: qed, weight: 1e-3}]")
    entry = {"kind": "qed", "weight": "1e-3"}
    given = [file, str(file), {"components": [entry]}, ScoringFunction([entry])]
    assert len({UmeRewardFunction(tiny_ume, scoring=scoring)(["CCO"])[0] for scoring in given}) == 1
    for wrong, message in (
        ({}, "expected a mapping with a list of components, got {}"),
        ([], r"scoring is \[\]: expected a ScoringFunction, a mapping, or the path of a YAML file"),
        (len, "expected a ScoringFunction, a mapping, or"),
        ({"components": [{"kind": "qde"}]}, "component 1: component 'qde' is unknown: .* 'qed'"),
    ):
        with pytest.raises(ScoringError, match=message):
            UmeRewardFunction(tiny_ume, scoring=wrong)


def test_it_leaves_gradients_and_random_numbers_alone(reward):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    with torch.enable_grad():
        reward(["CCO", "MKTVRQ"])
    assert torch.equal(state, torch.get_rng_state())
    assert not any(p.requires_grad for p in reward.encoder.model.parameters())


class TestWrapper:
    """What TRL calls."""

    def test_plain_completions(self, tiny_ume, reward):
        wrapper = create_ume_reward_wrapper(tiny_ume)
        got = wrapper(prompts=["", ""], completions=["CCO", "C1CC"], completion_ids=[[1], [2]], trainer_state=None)
        assert got == reward(["CCO", "C1CC"])

    def test_conversational_completions(self, tiny_ume, reward):
        wrapper = create_ume_reward_wrapper(tiny_ume)
        said = ["CCO", "Sure: <smiles>OCC</smiles>", "<smiles>CCN</smiles> or <smiles>CCO</smiles>", "CC", None]
        completions = [[{"role": "assistant", "content": text}] for text in said]
        ethanol, ethane = reward(["CCO", "CC"])
        assert wrapper(prompts=[[]] * 5, completions=completions) == [ethanol, ethanol, ethanol, ethane, 0.0]

    @pytest.mark.parametrize(
        ("text", "sequence", "modality"),
        [
            ("<protein>MKTVRQERLK</protein>", "MKTVRQERLK", "amino_acid"),
            ("<DNA> ACGTACGT </DNA>", "ACGTACGT", "nucleotide"),
            ("<rna>ACGU</rna>.", "ACGU", "nucleotide"),
            ("<dna>CCCC</dna>", "CCCC", "nucleotide"),
        ],
    )
    def test_tags_say_the_modality(self, tiny_ume, reward, text, sequence, modality):
        wrapper = create_ume_reward_wrapper(tiny_ume)
        assert wrapper(completions=[text]) == reward([sequence], [modality])
        assert wrapper(completions=[text])[0] > 0

    def test_an_open_tag_is_no_molecule(self, tiny_ume):
        assert create_ume_reward_wrapper(tiny_ume)(completions=["<smiles>CCO", "CCO</smiles>"]) == [0.0, 0.0]

    def test_the_modality_column_decides(self, tiny_ume, reward):
        wrapper = create_ume_reward_wrapper(tiny_ume)
        got = wrapper(completions=["CCCC"] * 3, modality=["SMILES", "nucleotide", "amino_acid"])
        assert got == reward(["CCCC"] * 3, ["SMILES", "nucleotide", "amino_acid"])
        assert len(set(got)) == 3

    def test_the_prompt_can_be_a_part_of_the_molecule(self, tiny_ume, reward):
        wrapper = create_ume_reward_wrapper(tiny_ume, include_prompt=True)
        assert wrapper(prompts=["c1ccc", "CC("], completions=["cc1O", "=O)O"]) == reward(["c1ccccc1O", "CC(=O)O"])

    def test_what_stands_behind_is_a_part_of_it_too(self, tiny_ume, reward):
        wrapper = create_ume_reward_wrapper(tiny_ume, include_prompt=True)
        got = wrapper(prompts=["c1ccc", "MKT", "CC"], completions=["cc1", "AYI", "O"], suffix=["OC", "AKQR", None])
        assert got == pytest.approx(reward(["c1ccccc1OC", "MKTAYIAKQR", "CCO"]))
        assert create_ume_reward_wrapper(tiny_ume)(completions=["CCO"], suffix=["N"]) == pytest.approx(reward(["CCO"]))

    @pytest.mark.parametrize("prompts", [None, [[{"role": "user", "content": "Go on: c1ccc"}]], [None]])
    def test_a_chat_is_no_part_of_a_molecule(self, tiny_ume, prompts):
        wrapper = create_ume_reward_wrapper(tiny_ume, include_prompt=True)
        with pytest.raises(ValueError, match=r"include_prompt=True joins .* prompts are plain text, not .*: leave"):
            wrapper(prompts=prompts, completions=[[{"role": "assistant", "content": "cc1O"}]])

    def test_it_logs_a_full_column_and_numbers_by_its_name(self, tiny_ume):
        metrics, columns = {}, {}
        wrapper = create_ume_reward_wrapper(tiny_ume, name="mine")
        wrapper(
            completions=["CCO", "C1CC"],
            log_metric=metrics.__setitem__,
            log_extra=columns.__setitem__,
        )
        assert metrics["mine/valid"] == 0.5
        assert 0 < metrics["mine/pseudo_likelihood"] <= 1
        assert columns["mine/outcome"] == ["scored", "undetectable"]
        assert columns["mine/pseudo_likelihood"][1] == 0.0

    def test_it_can_be_pickled_and_has_a_name(self, tiny_ume):
        wrapper = create_ume_reward_wrapper(tiny_ume, temperature=0.5)
        copy = pickle.loads(pickle.dumps(wrapper))
        assert copy.__name__ == wrapper.__name__ == "ume_reward"
        assert copy(completions=["CCO"]) == wrapper(completions=["CCO"])
        assert not isinstance(wrapper, torch.nn.Module)

    def test_a_molecule_pays_once_however_it_is_spelled(self, tiny_ume):
        wrapper = create_ume_reward_wrapper(tiny_ume, diversity=DiversityMemory())
        first = wrapper(completions=["CCO", "OCC", "CCN", "C1CC"])
        assert first[0] > 0
        assert first[1] == 0
        assert first[2] > 0
        assert wrapper(completions=["C(O)C", "CCF"])[0] == 0
        zeros = wrapper.reward_function.get_statistics()["zero_rewards"]
        assert zeros == {"repeated": 2, "undetectable": 1}

    def test_no_completions(self, tiny_ume):
        assert create_ume_reward_wrapper(tiny_ume)(prompts=[], completions=[]) == []


def test_a_pause_remembers_nothing(tiny_ume):
    reward = create_ume_reward_wrapper(tiny_ume, diversity=DiversityMemory())
    ether, other = "CCOc1ccccc1C(=O)NCC", "CCCOc1ccncc1C(=O)NC"
    logged: dict[str, float] = {}
    assert reward(completions=[ether])[0] > 0
    with reward.paused():
        paid = reward(completions=[ether, other, other, "C1CC"], log_metric=logged.__setitem__)
    assert min(paid[:3]) > paid[3] == 0
    assert paid[1] == paid[2]
    assert logged["ume_reward/unique"] == 1
    assert (len(reward.diversity), reward.top_sequences.unique) == (1, 1)
    again, first = reward(completions=[ether, other])
    assert again == 0 < first


def test_a_reward_function_of_ones_own_loop_does_not_import_trl():
    code = (
        "import sys, lobster.rl_training as r\n"
        "r.UmeRewardFunction, r.DiversityMemory\n"
        "assert not {'trl', 'datasets', 'matplotlib'} & set(sys.modules)\n"
        "assert r.UmeGRPOTrainer.__mro__[1].__module__.startswith('trl')\n"
        "assert all(getattr(r, name) for name in r.__all__) and not hasattr(r, 'nothing')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
