"""Scores of mutants: equal to slow computations, for encoders and families, and the command that correlates them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lobster.evaluation.__main__ import main
from lobster.evaluation.mutants import (
    blosum62_scores,
    encoder_scores,
    encoder_substitutions,
    family_scores,
    heat_map,
    mutated,
    read_mutant,
    read_scan,
)
from lobster.model import Ume
from lobster.scoring.families import RESIDUES, Profile

WILD_TYPE = "MKTVRQERLKSIVRILERSKEPVSGAQLAEELSVSRQVIVQDIAYLRSLGYNIVATPRGYVLAGG"  # longer than tiny_ume reads
SHORT = WILD_TYPE[:40]
RELATIVES = ["MKTIRQERLKAIVRLLEQSKEPVSGTQLAEELNVSRQTIVQDIAYLRSLGYDIIATPRGYVLRG"] * 2 + [
    "MRTVREERLNSIVKILERSDEPISGAKLADELSVSRQVIVNDIAYLRSIGYNVMATPKGYVLAGG"
]
MUTANTS = [[*read_mutant(text, SHORT)] for text in ("V4W", "K2K", "R5A:L9P", "S11T")]


def log_p(ume: Ume, sequence: str, position: int, masked: bool) -> torch.Tensor:
    """Of every residue at a position, by one plain pass."""
    tokenizer = ume.get_tokenizer("amino_acid")
    ids = tokenizer(sequence, return_tensors="pt").input_ids
    if masked:
        ids[0, 1 + position] = tokenizer.mask_token_id
    with torch.no_grad():
        return (
            ume.model(input_ids=ids)
            .logits[0, 1 + position]
            .log_softmax(-1)[tokenizer.convert_tokens_to_ids([*RESIDUES])]
        )


@pytest.mark.parametrize(("method", "masked"), [("masked_marginal", True), ("wild_type_marginal", False)])
def test_marginals_are_sums_of_plain_passes(tiny_ume: Ume, method, masked):
    expected = []
    for mutant in MUTANTS:
        found = [log_p(tiny_ume, SHORT, s.position, masked) for s in mutant]
        pairs = zip(found, mutant, strict=True)
        expected.append(
            sum(float(row[RESIDUES.index(s.mutant)] - row[RESIDUES.index(s.wild_type)]) for row, s in pairs)
        )
    assert encoder_scores(tiny_ume, SHORT, MUTANTS, method) == pytest.approx(expected, abs=1e-4)
    assert expected[1] == 0 != expected[0]


def test_pseudo_likelihoods_are_those_of_the_mutant_s_sequence(tiny_ume: Ume):
    found = encoder_scores(tiny_ume, SHORT, MUTANTS, "pseudo_likelihood")
    sequences = [SHORT, *(mutated(SHORT, mutant) for mutant in MUTANTS)]
    own = np.log(tiny_ume.compute_pseudo_likelihood(sequences, "amino_acid")) * len(SHORT)
    assert found == pytest.approx(own[1:] - own[0], abs=1e-4)
    assert found[1] == 0 != found[0]


@pytest.mark.parametrize("masked", [True, False])
def test_a_long_protein_is_read_in_windows(tiny_ume: Ume, masked):
    assert len(WILD_TYPE) + 2 > tiny_ume.max_length
    found = encoder_substitutions(tiny_ume, WILD_TYPE, masked)
    assert found.shape == (len(WILD_TYPE), 20)
    assert np.isfinite(found).all()
    row = log_p(tiny_ume, WILD_TYPE[: tiny_ume.max_length - 2], 3, masked)
    assert found[3] == pytest.approx((row - row[RESIDUES.index("V")]).numpy(), abs=1e-4)


def test_a_family_sums_its_substitutions():
    profile = Profile.from_relatives(SHORT, [relative[:40] for relative in RELATIVES])
    table = profile.substitutions(SHORT)
    double = table[4, RESIDUES.index("A")] + table[8, RESIDUES.index("P")]
    assert family_scores(profile, SHORT, MUTANTS)[2] == pytest.approx(double)
    kept, lost = family_scores(profile, SHORT, [read_mutant(m, SHORT) for m in ("V4I", "V4L")])
    assert kept > lost  # a relative has the one


def test_blosum62_by_hand():
    half_bit = np.log(2) / 2
    assert blosum62_scores(SHORT, MUTANTS) == pytest.approx(np.array([-3, 0, -1 - 3, 1]) * half_bit)


def test_an_unknown_method_is_told(tiny_ume: Ume):
    with pytest.raises(ValueError, match="method is 'marginal': expected one of masked_marginal"):
        encoder_scores(tiny_ume, SHORT, MUTANTS, "marginal")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("A1K", "residue 1 of the wild type is M; expected A"),
        ("M1K:M900K", "residue 900 of the wild type is absent"),
        ("M0K", "residue 0 of the wild type is absent"),
        ("M1", "expected a substitution such as A24G"),
        ("M1del", "expected a substitution"),
        ("nan", "expected a substitution"),
    ],
)
def test_a_mutant_of_something_else_is_told_with_its_line(tmp_path: Path, text, error):
    (tmp_path / "scan.csv").write_text(f"mutant,score\nM1A,0.5\n{text},1\n")
    with pytest.raises(ValueError, match=f"line 3: mutant.*{error}"):
        read_scan(tmp_path / "scan.csv", SHORT)


def test_a_scan_has_two_columns(tmp_path: Path):
    (tmp_path / "scan.csv").write_text("variant,score\nM1A,0.5\n")
    with pytest.raises(ValueError, match="no column mutant"):
        read_scan(tmp_path / "scan.csv", SHORT)


def test_mutants_without_a_measurement_are_left_out_and_told(tmp_path: Path, caplog):
    (tmp_path / "scan.csv").write_text("mutant,score\nM1A,\nK2A,0.5\nT3A,NaN\nV4A,1.5\n")
    scan = read_scan(tmp_path / "scan.csv", SHORT)
    assert scan.measured.tolist() == [0.5, 1.5]
    assert [mutant[0].position for mutant in scan.mutants] == [1, 3]
    assert "scan.csv: 2 of 4 mutants have no score, and are left out" in caplog.text


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("mutant,score\nM1A,0.5\nK2A,abc\n", "line 3: could not convert string to float: 'abc'"),
        ("mutant,score\nM1A:M1C,0.5\n", "line 2: mutant M1A:M1C: residue 1 is substituted twice"),
        ("mutant,score\nM1A,\n", "has no mutant with a score"),
        ("", "is no CSV with the columns mutant and score"),
    ],
)
def test_what_is_no_scan_is_said(tmp_path: Path, text, error):
    (tmp_path / "scan.csv").write_text(text)
    with pytest.raises(ValueError, match=f"scan.csv.*{error}"):
        read_scan(tmp_path / "scan.csv", SHORT)


def test_a_heat_map_is_a_picture(tmp_path: Path):
    from matplotlib.image import imread

    values = Profile.from_relatives(WILD_TYPE, RELATIVES).substitutions(WILD_TYPE)
    heat_map(values, WILD_TYPE, tmp_path / "map.png", "a family", width=40)
    picture = imread(tmp_path / "map.png")
    assert min(picture.shape[:2]) > 500
    assert np.unique(picture.reshape(-1, picture.shape[2]), axis=0).shape[0] > 50


def test_the_command_correlates_an_encoder_and_a_family(tmp_path: Path, tiny_ume: Ume, capsys):
    tiny_ume.save_pretrained(tmp_path / "ume")
    texts = [f"{SHORT[i]}{i + 1}{residue}" for i in (3, 8, 20) for residue in "AWKLID" if residue != SHORT[i]]
    profile = Profile.from_relatives(SHORT, [relative[:40] for relative in RELATIVES])
    family = family_scores(profile, SHORT, [read_mutant(text, SHORT) for text in texts])
    pd.DataFrame({"mutant": texts, "score": family**3}).to_csv(tmp_path / "scan.csv", index=False)
    relatives = "".join(f">{i}\n{s[:40]}\n" for i, s in enumerate([SHORT, *RELATIVES]))
    (tmp_path / "relatives.fasta").write_text(relatives)
    (tmp_path / "wild_type.fasta").write_text(f">wt\n{SHORT}\n")
    files = {"--wild_type": "wild_type.fasta", "--relatives": "relatives.fasta", "--encoder": "ume"}
    files |= {"--heat_map": "map.png", "--scores": "scores.csv"}
    arguments = [word for name, file in files.items() for word in (name, str(tmp_path / file))]
    main(["mutants", str(tmp_path / "scan.csv"), *arguments, "--device", "cpu"])
    figures = {f["name"]: f for f in json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]}
    assert figures["family"]["value"] == pytest.approx(1)
    assert figures["family"]["baselines"]["BLOSUM62"] < 1
    assert -1 <= figures["masked marginal"]["value"] < 1
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert scores["mutant"].tolist() == texts
    assert scores["family"].to_numpy() == pytest.approx(family)
    assert (tmp_path / "map.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="name --encoder, or --relatives"):
        main(["mutants", str(tmp_path / "scan.csv"), "--wild_type", SHORT])
