"""Scoring functions: their values against RDKit's and by hand, their configuration, and what fails."""

import math
import pickle
import textwrap
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobster.constants import Modality
from lobster.scoring import Component, Linear, ScoringError, ScoringFunction, Step, default_scoring
from lobster.scoring.function import kinds

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
GFP_START = "MSKGEELFTGVVPILVELDGDVNGHKFSVSGEGEGDATYGKLTLKFICTTGKLPVPWPTLVTTFSYGVQCFSRYPDHMKRHDFFKSAMPEGYVQERTIF"


def value(kind: str, sequence: str, modality: Modality, **parameters) -> float:
    transform = Linear(-1e6, 1e6)  # any: the value before it is asked for
    return Component(kind, transform=transform, **parameters).measure(sequence, modality, 0.5)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [  # PubChem's entry for aspirin; QED and SA score as published for it
        ("molecular_weight", 180.16),
        ("tpsa", 63.6),
        ("logp", 1.31),
        ("rings", 1),
        ("rotatable_bonds", 2),
        ("qed", 0.55),
        ("sa_score", 1.58),
    ],
)
def test_descriptors_of_aspirin(kind, expected):
    assert value(kind, ASPIRIN, Modality.SMILES) == pytest.approx(expected, rel=0.01)


def test_alerts_substructures_and_similarity(tmp_path):
    nitro, quinone = "O=[N+]([O-])c1ccccc1", "O=C1C=CC(=O)c2ccccc21"
    clean = "CC(C)Cc1ccc(C(C)C(=O)O)cc1"
    assert [value("alerts", s, Modality.SMILES) for s in (nitro, quinone, clean)] == [0, 0, 1]
    assert value("alerts", nitro, Modality.SMILES, catalogs=["PAINS"]) == 1
    acid = {"wanted": ["C(=O)[OH]"], "forbidden": ["[N+](=O)[O-]"]}
    assert [value("substructures", s, Modality.SMILES, **acid) for s in (ASPIRIN, nitro)] == [1, 0]
    file = tmp_path / "references.smi"
    file.write_text(f"CCO ethanol\n\n{ASPIRIN}\taspirin\n")
    assert value("similarity", ASPIRIN, Modality.SMILES, references=str(file)) == 1
    assert value("similarity", "CCO", Modality.SMILES, references=[ASPIRIN]) < 0.5


def test_properties_of_proteins():
    assert value("gravy", "AAAA", Modality.AMINO_ACID) == pytest.approx(1.8)
    assert value("aromaticity", "FWYA", Modality.AMINO_ACID) == 0.75
    assert value("isoelectric_point", GFP_START, Modality.AMINO_ACID) == pytest.approx(6.1, abs=0.5)
    assert value("charge", "KKKK", Modality.AMINO_ACID) > 3 > -3 > value("charge", "DDDD", Modality.AMINO_ACID)
    assert value("protein_weight", "GG", Modality.AMINO_ACID) == pytest.approx(132.12, abs=0.01)
    assert value("secondary_structure", "AEL", Modality.AMINO_ACID, structure="helix") == 1
    sites = {"wanted": ["N[^P][ST][^P]"]}  # N-glycosylation
    assert [value("motifs", s, Modality.AMINO_ACID, **sites) for s in ("MNGTA", "MNPTA")] == [1, 0]


def test_properties_of_nucleotides():
    assert value("gc_content", "atgc", Modality.NUCLEOTIDE) == 0.5
    assert value("open_reading_frame", "atggcctga", Modality.NUCLEOTIDE) == 1
    assert value("forbidden_sites", "atggaattctga", Modality.NUCLEOTIDE, sites=["EcoRI"]) == 0
    assert value("forbidden_sites", "atggagacctga", Modality.NUCLEOTIDE, sites=["GGTCTC"]) == 0  # the other strand
    assert value("forbidden_sites", "atggcctga", Modality.NUCLEOTIDE, sites=["EcoRI", "GGNCC"]) == 1


def test_means_weights_and_filters():
    def constant(x):
        return lambda sequence: x

    parts = [Component(constant(0.25), "a", weight=1), Component(constant(1.0), "b", weight=3)]
    assert ScoringFunction(parts)(ASPIRIN, Modality.SMILES, 0.5).total == pytest.approx(0.25**0.25)
    assert ScoringFunction(parts, "arithmetic")(ASPIRIN, Modality.SMILES, 0.5).total == pytest.approx(0.8125)
    halved = [*parts, Component(constant(0.5), "c", role="filter")]
    assert ScoringFunction(halved, "arithmetic")(ASPIRIN, Modality.SMILES, 0.5).total == pytest.approx(0.40625)
    zero = [*parts, Component(constant(0.0), "d")]
    assert ScoringFunction(zero)(ASPIRIN, Modality.SMILES, 0.5).total == 0
    assert ScoringFunction(zero, "arithmetic")(ASPIRIN, Modality.SMILES, 0.5).total == pytest.approx(0.65)


def test_each_modality_is_asked_for_its_own_components():
    scoring = ScoringFunction(
        [
            Component("qed"),
            Component("gc_content"),
            Component(len, "length", transform=Step(low=3), modality="amino_acid"),
        ]
    )
    assert list(scoring(ASPIRIN, Modality.SMILES, 0.5).parts) == ["qed"]
    assert list(scoring("atg", Modality.NUCLEOTIDE, 0.5).parts) == ["gc_content"]
    assert list(scoring("MKT", Modality.AMINO_ACID, 0.5).parts) == ["length"]
    assert ScoringFunction([Component("qed")])("MKT", Modality.AMINO_ACID, 0.5) is None


def test_the_default_is_the_pseudo_likelihood_of_what_is_complex_enough():
    scoring = default_scoring()
    assert scoring(ASPIRIN, Modality.SMILES, 0.37).total == pytest.approx(0.37)
    assert scoring("CCCCCCCCCCCCCCCC", Modality.SMILES, 0.37).total == pytest.approx(0.0037)


def test_a_component_that_fails_scores_zero_is_counted_and_warned_about_once():
    def broken(sequence):
        raise ZeroDivisionError("no such thing")

    scoring = ScoringFunction(
        [Component(broken), Component(lambda s: math.nan, "nan"), Component(lambda s: 7.0, "seven")], "arithmetic"
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            score = scoring(ASPIRIN, Modality.SMILES, 0.5)
            assert (score.total, set(score.parts.values())) == (0, {0.0})
    assert len(caught) == 3
    assert "no such thing" in str(caught[0].message)
    assert scoring.failures == {"broken": 3, "nan": 3, "seven": 3}


def test_it_can_be_pickled():
    scoring = ScoringFunction(
        [
            Component("substructures", wanted=["C(=O)[OH]"]),
            Component("alerts"),
            Component("gravy", transform=Linear(-2, 2)),
        ]
    )
    scoring(ASPIRIN, Modality.SMILES, 0.5)
    again = pickle.loads(pickle.dumps(scoring))
    assert again(ASPIRIN, Modality.SMILES, 0.5).parts == scoring(ASPIRIN, Modality.SMILES, 0.5).parts


YAML = """
combine: arithmetic
components:
  - kind: pseudo_likelihood
  - {kind: qed, weight: 2}
  - kind: molecular_weight
    name: size
    transform: {kind: double_sigmoid, low: 150, high: 450}
  - {kind: substructures, wanted: ["C(=O)[OH]"], role: filter}
  - {kind: os.path.isabs, name: absolute, role: filter, transform: {kind: linear, low: 1, high: 0}}
"""


def test_a_yaml_file_says_the_same_as_python(tmp_path):
    file = tmp_path / "scoring.yaml"
    file.write_text(YAML)
    score = ScoringFunction.from_yaml(file)(ASPIRIN, Modality.SMILES, 0.5)
    assert list(score.parts) == ["pseudo_likelihood", "qed", "size", "substructures", "absolute"]
    assert score.values["size"] == pytest.approx(180.16, abs=0.01)
    parts = score.parts
    assert score.total == pytest.approx((parts["pseudo_likelihood"] + 2 * parts["qed"] + parts["size"]) / 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("components: [{kind: qde}]", "component 1: component 'qde' is unknown: the nearest that exists is 'qed'"),
        ("components: [{kind: qed, wieght: 2}]", "component 1: qed: key 'wieght' is unknown: .* 'weight'"),
        ("components: [{kind: alerts, catalog: [PAINS]}]", "alerts: key 'catalog' is unknown: .* 'catalogs'"),
        (
            "components: [{kind: alerts, catalogs: [PANS]}]",
            "alerts: catalogue 'PANS' is unknown: expected one of .*PAINS",
        ),
        ("components: [{kind: logp}]", "logp: its values do not lie in .0, 1., it needs a transform"),
        ("components: [{kind: logp, transform: {kind: lineal, low: 1, high: 2}}]", "'lineal' is unknown: .* 'linear'"),
        ("components: [{kind: logp, transform: {kind: linear, lo: 1, high: 2}}]", "key 'lo' of linear .* 'low'"),
        ("components: [{kind: logp, transform: {kind: linear, low: 2, high: 2}}]", "expected two different numbers"),
        ("components: [{kind: logp, transform: {kind: linear, low: 2}}]", "transform linear: .*'high'"),
        ("components: [{kind: qed, role: filtre}]", "role is 'filtre', expected one of part, filter"),
        ("components: [{kind: qed, weight: -1}]", "weight is -1, expected a positive number"),
        ("components: [{kind: qed}, {kind: qed}]", "two components are called 'qed'"),
        ("components: [{kind: qed, name: valid}]", "cannot be called 'valid'"),
        ("components: [{kind: qed, modality: SMILES}]", "qed has its own"),
        ("components: [{kind: similarity}]", "similarity: .*'references'"),
        ("components: [{kind: similarity, references: nowhere.smi}]", "similarity: .*nowhere.smi"),
        ("components: [{kind: substructures, wanted: ['C(']}]", "'C\\(' is not a SMARTS"),
        ("components: [{kind: forbidden_sites, sites: [EcoRX]}]", "'EcoRX' is neither a restriction enzyme"),
        ("components: [{kind: no.such.function}]", "function 'no.such.function' was not found"),
        ("components: [qed]", "component 1: expected a mapping with a kind, got 'qed'"),
        ("components: []", "there is no component"),
        ("componets: [{kind: qed}]", "expected a mapping with a list of components"),
        ("components: [{kind: qed}]\ncombin: geometric", "key 'combin' is unknown: .* 'combine'"),
        ("components: [{kind: qed}]\ncombine: sum", "combine is 'sum': expected one of geometric, arithmetic"),
        ("components: [", "is not YAML"),
    ],
)
def test_a_wrong_file_is_explained_in_one_line(tmp_path, text, message):
    file = tmp_path / "scoring.yaml"
    file.write_text(textwrap.dedent(text))
    with pytest.raises(ScoringError, match=message) as error:
        ScoringFunction.from_yaml(file)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_a_function_of_your_own_takes_parameters():
    def share(sequence, letter="C"):
        return sequence.count(letter) / len(sequence)

    scoring = ScoringFunction([Component(share, letter="O"), Component(share, "carbon")])
    assert scoring("CCCO", Modality.SMILES, 0.5).values == {"share": 0.25, "carbon": 0.75}
    with pytest.raises(ScoringError, match="key 'leter' is unknown: the nearest that exists is 'letter'"):
        Component(share, leter="O")


def test_all_kinds_have_names():
    assert {"pseudo_likelihood", "complexity", "qed", "gravy", "gc_content"} <= set(kinds())


@given(st.text("ACDEFGHIKLMNPQRSTVWYX", min_size=1, max_size=40))
def test_any_protein_gets_a_score(protein):
    transform = Linear(-100, 100)
    every = [
        Component(kind, transform=transform)
        for kind in ("gravy", "isoelectric_point", "charge", "instability_index", "aromaticity", "protein_weight")
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert 0 <= ScoringFunction(every)(protein, Modality.AMINO_ACID, 0.5).total <= 1
