"""Scoring functions: their values against RDKit's and by hand, their configuration, and what fails."""

import math
import os
import pickle
import re
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lobster.constants import Modality
from lobster.scoring import Component, Linear, ScoringError, ScoringFunction, Step, default_scoring
from lobster.scoring.components import kinds

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
GFP_START = "MSKGEELFTGVVPILVELDGDVNGHKFSVSGEGEGDATYGKLTLKFICTTGKLPVPWPTLVTTFSYGVQCFSRYPDHMKRHDFFKSAMPEGYVQERTIF"


def measured(component: Component, sequence: str, modality: Modality = Modality.SMILES) -> float:
    [(value, error)] = component.measure([sequence], modality, [0.5])
    assert not error
    return value


def value(kind: str, sequence: str, modality: Modality, **parameters) -> float:
    transform = Linear(-1e6, 1e6)  # any: the value before it is asked for
    return measured(Component(kind, transform=transform, **parameters), sequence, modality)


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
    for combine in ("geometric", "arithmetic"):
        assert ScoringFunction([Component(constant(0.1))], combine)(ASPIRIN, Modality.SMILES, 0.5).total == 0.1


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


def test_without_a_reference_the_default_is_the_pseudo_likelihood_of_what_is_complex_enough():
    scoring = default_scoring(reference=False)
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


def test_a_batch_is_one_call_where_a_function_takes_one():
    calls = []

    def lengths(sequences, scale=1.0):
        calls.append(sequences)
        return np.array([scale * len(s) if s.count("C") < 3 else math.nan for s in sequences])

    scoring = ScoringFunction([Component(lengths, batch=True, scale=0.1), Component(lambda s: len(s) / 10, "single")])
    with pytest.warns(UserWarning, match="'lengths' failed on 'CCC'.* its value is nan"):
        scores = scoring.score(["CC", "CCC", "C"], Modality.SMILES)
    assert calls == [["CC", "CCC", "C"]]
    assert [score.total for score in scores] == pytest.approx([0.2, 0, 0.1])
    assert [score.parts["single"] for score in scores] == [0.2, 0.3, 0.1]
    assert scoring.failures == {"lengths": 1}


def test_a_batch_that_fails_is_the_failure_of_each_sequence_in_it():
    for function, message in (
        (lambda sequences: [1.0], "1 values were returned for 2 sequences"),
        (lambda sequences: 1 / 0, "ZeroDivisionError"),
        (lambda sequences: None, "TypeError"),
    ):
        values, errors = zip(*Component(function, "all", batch=True).measure(["C", "CC"], Modality.SMILES), strict=True)
        assert np.isnan(values).all()
        assert all(message in error for error in errors)
    one, other = Component(lambda s: 1 / (len(s) - 1), "each").measure(["C", "CC"], Modality.SMILES)
    assert "ZeroDivisionError" in one.error
    assert other == (1.0, "")


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
        ("components: [{kind: json}]", "component 'json' is unknown"),
        ("components: [{kind: no_such_module.f}]", "'no_such_module.f' was not found: .*No module named"),
        ("components: [{kind: json.tool.nothing}]", "'json.tool.nothing' was not found: .*json.tool.nothing"),
        ("components: [{kind: math.pi}]", "'math.pi' is no function but 3.14"),
        ("components: [{kind: operator.mul}]", "mul: missing a required argument: 'b'"),
        ("components: [{kind: os.path.isabs, modality: lipid}]", "component 1: isabs: modality 'lipid' is unknown"),
        ("components: [{kind: 5}]", "kind is 5, expected a name such as qed, or a function"),
        ("components: [{kind: [qed]}]", "kind is .'qed'., expected a name"),
        ("components: [{kind: qed, name: 5}]", "qed: name is 5, expected text"),
        ("components: [{kind: qed, name: pseudo_likelihood}]", "cannot be called 'pseudo_likelihood'"),
        ("components: [{kind: qed, weight: true}]", "weight is True, expected a positive number"),
        ("components: [{kind: qed, weight: two}]", "weight is 'two', expected a positive number"),
        ("components: [{kind: qed, weight: .inf}]", "weight is inf, expected a positive number"),
        ("components: [{kind: logp, transform: step}]", "transform is 'step', expected a mapping such as .kind: step"),
        ("components: [{kind: logp, transform: {kind: [step]}}]", r"transform \"\['step'\]\" is unknown"),
        ("components: [{kind: logp, transform: {kind: step, low: true}}]", "step: low is True, expected a number"),
        ("components: [{kind: logp, transform: {kind: step, low: few}}]", "step: low is 'few', expected a number"),
        (
            "components: [{kind: charge, ph: acid, transform: {kind: step, low: 1}}]",
            "charge: ph is 'acid', expected a number",
        ),
        ("components: [{kind: substructures, wanted: NO}]", "wanted is False, expected a list of text"),
        ("components: [{kind: substructures, wanted: [NO]}]", "wanted has False, expected text: in YAML, .* quotes"),
        ("components: [{kind: substructures, wanted: }]", "wanted is None, expected a list of text"),
        ("components: [{kind: similarity, references: []}]", "similarity: references is empty"),
        ("components: [{kind: qed, batch: true}]", "qed: batch is True, expected true or false, of a function of your"),
        ("components: [{kind: os.path.isabs, batch: 64}]", "isabs: batch is 64, expected true or false"),
        ("components: [{kind: qed}, {kind: logp}]", "component 2: logp: its values do not lie"),
        ("components: {kind: qed}", "expected a list of components, got {'kind': 'qed'}"),
        ("components: qed", "expected a list of components, got 'qed'"),
        ("components:", "expected a list of components, got None"),
        ("[{kind: qed}]", "expected a mapping with a list of components, got .{'kind': 'qed'}."),
        ("", "expected a mapping with a list of components, got None"),
        ("components: [{kind: qed}]\ncomponents: [{kind: sa_score}]", "key 'components' stands there twice"),
        ("components: [{kind: qed, weight: 1, weight: 2}]", "key 'weight' stands there twice"),
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


@pytest.mark.parametrize(
    ("kind", "sequence", "modality", "parameters", "expected"),
    [  # letter by letter, each of these would be something else
        ("motifs", "AARGDAA", Modality.AMINO_ACID, {"wanted": "RGD"}, 1),
        ("motifs", "DAAGAAR", Modality.AMINO_ACID, {"wanted": "RGD"}, 0),
        ("motifs", "DAAGAAR", Modality.AMINO_ACID, {"forbidden": "RGD"}, 1),
        ("forbidden_sites", "atggccaactga", Modality.NUCLEOTIDE, {"sites": "GAATTC"}, 1),
        ("forbidden_sites", "atggaattctga", Modality.NUCLEOTIDE, {"sites": "GAATTC"}, 0),
        ("forbidden_sites", "atggaattctga", Modality.NUCLEOTIDE, {"sites": "EcoRI"}, 0),
        ("substructures", "CSCCSO", Modality.SMILES, {"wanted": "CO"}, 0),
        ("substructures", "CSCCSO", Modality.SMILES, {"forbidden": "CO"}, 1),
        ("alerts", "O=[N+]([O-])c1ccccc1", Modality.SMILES, {"catalogs": "PAINS"}, 1),
        ("similarity", "CCO", Modality.SMILES, {"references": "CCO"}, 1),
        ("neighbourhoods", ASPIRIN, Modality.SMILES, {}, 1),
        ("neighbourhoods", "[13CH3][CH2:1]O", Modality.SMILES, {}, 1),
        ("neighbourhoods", "CC(O)(N)C", Modality.SMILES, {}, 0),
        # any collection is a list
        ("substructures", "CCO", Modality.SMILES, {"wanted": ("CO",)}, 1),
        ("substructures", "CCO", Modality.SMILES, {"wanted": {"CO"}}, 1),
        ("substructures", "CCO", Modality.SMILES, {"wanted": np.array(["CO"])}, 1),
        ("substructures", "CSCCSO", Modality.SMILES, {"wanted": (smarts for smarts in ["CO"])}, 0),
    ],
)
def test_a_string_where_a_list_belongs_is_a_list_of_one(kind, sequence, modality, parameters, expected):
    component = Component(kind, **parameters)
    assert [measured(component, sequence, modality) for _ in range(2)] == [expected] * 2


def test_so_it_is_in_yaml_and_in_functions_of_your_own(tmp_path):
    def share(sequence: str, letters: list[str], scale: float = 1.0, power=1):
        assert isinstance(letters, list)
        return scale * sum(map(sequence.count, letters)) ** power / len(sequence)

    assert measured(Component(share, letters="CO", scale="1e-3"), "CO") == 0.0005
    assert measured(Component(share, letters=("C", "O"), power="2"), "CO") == 2
    file = tmp_path / "scoring.yaml"
    file.write_text("components: [{kind: motifs, wanted: RGD}, {kind: forbidden_sites, sites: GAATTC}]")
    scoring = ScoringFunction.from_yaml(file)
    assert [scoring(s, Modality.AMINO_ACID).total for s in ("AARGDAA", "DAAGAAR")] == [1, 0]
    assert scoring("atggccaactga", Modality.NUCLEOTIDE).parts["forbidden_sites"] == 1


def test_numbers_of_yaml_may_be_written_as_1e_3():
    entry = {"kind": "logp", "weight": "1e-3", "transform": {"kind": "double_sigmoid", "low": "1e-3", "high": "1e1"}}
    component = ScoringFunction.from_description({"components": [entry]}).components[0]
    assert (component.weight, component.transform.low, component.transform.high) == (0.001, 0.001, 10)
    assert Component("charge", ph="7e0", transform=Linear(-1, 1)).parameters == {"ph": 7}
    assert Component("qed", weight=np.float32(2)).weight == 2


def test_a_file_of_references_is_what_it_is_now(tmp_path, monkeypatch):
    file = tmp_path / "references.smi"
    file.write_text("CCO\n")
    component = Component("similarity", references=file)
    scoring = ScoringFunction([component])
    first = scoring.version()
    assert measured(component, ASPIRIN) < 0.5
    file.write_text(f"{ASPIRIN}\nCCO\n")
    assert measured(component, ASPIRIN) == 1
    assert scoring.version() != first
    file.write_text("CCN\nCC(\n")
    assert re.search(
        r"line 'CC\(' of .*references.smi is not a SMILES", component.measure([ASPIRIN], Modality.SMILES)[0].error
    )
    file.unlink()
    assert re.search(
        r"references.smi' is neither a file nor a SMILES", component.measure([ASPIRIN], Modality.SMILES)[0].error
    )
    assert scoring.version() != first
    monkeypatch.chdir(tmp_path)
    Path("known.smi").write_text(ASPIRIN)
    assert measured(Component("similarity", references=["CCN", "known.smi"]), ASPIRIN) == 1


def test_what_rounding_puts_outside_of_0_and_1_is_clipped():
    values = iter([1.0000001, -1e-7, 1.01, -0.01])
    scoring = ScoringFunction([Component(lambda s: next(values), "rounded")])
    assert [scoring(ASPIRIN, Modality.SMILES).total for _ in range(2)] == [1, 0]
    assert not scoring.failures
    with pytest.warns(UserWarning, match=r"its score 1.01: expected a finite number, a score in \[0, 1\]"):
        assert [scoring(ASPIRIN, Modality.SMILES).total for _ in range(2)] == [0, 0]
    assert scoring.failures == {"rounded": 2}


@pytest.mark.parametrize("one", [1, True, np.float32(1), np.bool_(True), np.array(1.0), torch.tensor(1.0)])
def test_what_is_a_number_is_a_value(one):
    scoring = ScoringFunction([Component(lambda s: one, "one"), Component(lambda s: 1, "two", transform=lambda v: one)])
    assert scoring(ASPIRIN, "smiles").total == 1


@pytest.mark.parametrize("none", [None, "1", [1.0], {"score": 1.0}, 1j, np.array([1.0, 0.0]), math.nan, math.inf])
def test_what_is_none_is_a_failure_that_says_so(none):
    returning, transforming = Component(lambda s: none, "a"), Component(lambda s: 1, "b", transform=lambda v: none)
    for component in (returning, transforming):
        scoring = ScoringFunction([component, Component("qed")], "arithmetic")
        with pytest.warns(UserWarning, match=r"failed on .*: expected a .*number|number|0-dim"):
            scored = scoring(ASPIRIN, Modality.SMILES)
        assert scored.total == 0
        assert list(scored.errors) == [component.name]
        assert "number" in scored.errors[component.name] or "scalar" in scored.errors[component.name]


def test_the_ume_is_used_where_a_component_asks_for_it():
    assert default_scoring().uses_ume
    assert ScoringFunction([Component("pseudo_likelihood", "pl")]).uses_ume
    assert not ScoringFunction([Component("qed"), Component("complexity")]).uses_ume


MODULE = "def nitrogen(sequence: str) -> bool:\n    return 'N' in sequence\n"


def test_a_function_is_found_where_one_stands_and_beside_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, module in ((here, "standing_here"), (there, "lying_there")):
        folder.mkdir()
        (folder / f"{module}.py").write_text(MODULE)
    (there / "broken_there.py").write_text("import no_such_thing\n")
    (there / "json.py").write_text(MODULE)
    monkeypatch.chdir(here)
    assert measured(Component("standing_here.nitrogen"), "CN") == 1
    file = there / "scoring.yaml"
    file.write_text("components: [{kind: lying_there.nitrogen}, {kind: standing_here.nitrogen, name: again}]")
    assert ScoringFunction.from_yaml(file)("CN", Modality.SMILES).total == 1
    for name, message in (
        ("broken_there.nitrogen", "was not found: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("lying_there.oxygen", "was not found: .*'lying_there.oxygen'"),
        ("json.dumps", r"json.py is hidden by another module 'json', .*: rename it"),
    ):
        file.write_text(f"components: [{{kind: {name}}}]")
        with pytest.raises(ScoringError, match=message):
            ScoringFunction.from_yaml(file)


def test_another_process_finds_it_too(tmp_path):
    """A process that is spawned is given the folder, and what was pickled for it."""
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "run.py").write_text(
        textwrap.dedent(
            """
            import multiprocessing
            from lobster.scoring import Component, ScoringFunction

            def total(scoring):
                return scoring("CN", "SMILES").total

            if __name__ == "__main__":
                scoring = ScoringFunction([Component("mine.nitrogen"), Component("substructures", wanted="CN")])
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    print(pool.map(total, [scoring]))
            """
        )
    )
    command = [sys.executable, "elsewhere/run.py"]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "[1.0]", done.stderr


def test_a_mapping_says_the_same_as_a_file():
    description = {"combine": "arithmetic", "components": ({"kind": "qed"}, Component(len, "size", transform=Step(3)))}
    scoring = ScoringFunction.from_description(description)
    assert scoring(ASPIRIN, Modality.SMILES).total == pytest.approx((1 + 0.55) / 2, abs=0.01)
    for wrong, message in (
        ({"components": ["qed"]}, "component 1: expected a mapping with a kind, got 'qed'"),
        ({"components": Component("qed")}, "expected a list of components"),
        (["qed"], "expected a mapping with a list of components"),
        ({"components": [{"kind": "qed"}], "combined": "x"}, "key 'combined' is unknown: .* 'combine'"),
    ):
        with pytest.raises(ScoringError, match=message):
            ScoringFunction.from_description(wrong)


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


def test_a_function_that_needs_more_is_refused():
    def needy(sequence, threshold):
        return 1.0

    with pytest.raises(ScoringError, match="needy: missing a required argument: 'threshold'"):
        Component(needy)
    with pytest.raises(ScoringError, match="too many positional arguments"):
        Component(lambda: 1.0, "nothing")
    with pytest.raises(ScoringError, match="kind is None, expected a name"):
        Component(None)
    assert measured(Component(needy, threshold=1), "C") == 1


RUBBISH = [None, True, 0, -1, 2.5, math.nan, math.inf, 10**400, "", "x", "1e-3", "CO", b"x", [], [None], [[]], ("CO",)]
RUBBISH += [{}, {"CO"}, {"kind": "step"}, {"kind": "linear", "low": "1", "high": 2}, object(), len, "SMILES", "filter"]
KEYS = ["kind", "name", "weight", "role", "transform", "modality", "wanted", "forbidden", "sites", "references"]
KEYS += ["catalogs", "ph", "structure", "parameters", "", 5, None]


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from([*kinds(), "os.path.isabs", "math.pi"]),
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(RUBBISH), max_size=2),
    st.sampled_from(["linear", "step", "double_sigmoid"]),
    st.one_of(st.just(1), st.sampled_from(RUBBISH)),
)
def test_whatever_a_description_holds_it_works_or_is_refused_in_one_line(kind, rest, transform, low):
    entry = {"kind": kind, "transform": {"kind": transform, "low": low, "high": 5}} | rest
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            scoring, refused = ScoringFunction.from_description({"components": [entry]}), ""
        except ScoringError as error:
            scoring, refused = default_scoring(), str(error)
        assert "\n" not in refused
        for sequence, modality in (("CCO", "SMILES"), ("MKTAYIAK", "amino_acid"), ("atggcctaa", "nucleotide")):
            scored = scoring(sequence, modality, 0.5)
            assert scored is None or 0 <= scored.total <= 1
