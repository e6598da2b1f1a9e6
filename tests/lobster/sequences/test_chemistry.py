"""Which SMILES are one molecule, which are none, and that no text takes long."""

import random
import re
import time
from collections.abc import Callable

import pytest
from rdkit import Chem

from lobster.constants import Modality
from lobster.scoring import molecules
from lobster.scoring.complexity import complexity
from lobster.sequences import SmilesOptions, canonical_smiles, normal_form
from lobster.sequences.chemistry import (
    IDENTITIES,
    MAX_SMILES_CHARACTERS,
    fingerprint,
    identity_key,
    murcko_scaffold,
    parse_smiles,
)
from lobster.tokenization.vocabulary import SMILES_PATTERN

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
# RDKit 2026.09 writes the one as the other, and the other as the one.
CYCLE = "O=C(C[C@]1(c2ccc(-c3ccc(F)cc3)cc2)C2CC3CC1CC(C2)[C@{}H]3O)N1CC(O)C1"


@pytest.mark.parametrize(
    "spellings",
    [
        ["CCO", "OCC", "C(O)C", " CCO\n"],
        [CYCLE.format("@"), CYCLE.format("")],
        [ASPIRIN, *(f"[CH3:{n}]C(=O)Oc1ccccc1C(=O)O" for n in range(4)), "CC(=O)Oc1ccccc1C(=O)[OH:7]"],
        [ASPIRIN, "[99CH3]C(=O)Oc1ccccc1C(=O)O", "[13CH3]C(=O)Oc1ccccc1C(=O)[18OH]", "CC(=O)Oc1ccccc1C(=O)O[2H]"],
        ["C=CCCCCCCCO", "[H]/C=C/CCCCCCCO", "[H]/C=C\\CCCCCCCO", "[2H]/C=C/CCCCCCCO"],
        ["CC=N", "[H]/N=C/C", "[H]/N=C\\C"],
        ["C", "[H]C", "[H]C([H])([H])[H]", "[2H]C([2H])([2H])[2H]", "[#1]C", "[CH4]", "[0CH4]"],
        ["[H][H]", "[HH]", "[2HH]", "[2H][H]", "[3H][3H]"],
        ["CC.[H][H]", "[HH].CC"],
        ["CCO", "C[C@H]([2H])O", "C[C@@H]([3H])O"],
        ["CC(C)O", "C[C@H](C)O", "C[C@H]([CH3:1])O", "C[C@@H]([13CH3])O"],
        ["c1ccccc1", "[2H]c1c([2H])c([2H])c([2H])c([2H])c1[2H]", "C1=CC=CC=C1"],
        ["C[N+](=O)[O-]", "CN(=O)=O"],
    ],
)
def test_spellings_of_one_molecule(spellings: list[str]):
    [form] = {canonical_smiles(s) for s in spellings}
    assert canonical_smiles(form) == form


@pytest.mark.parametrize(
    ("one", "other"), [("C[C@H](N)O", "C[C@@H](N)O"), ("F/C=C/F", "F/C=C\\F"), ("CC(=O)O", "CC(=O)[O-]")]
)
def test_what_differs_stays_apart(one: str, other: str):
    assert canonical_smiles(one) != canonical_smiles(other)


@pytest.mark.parametrize(
    "text",
    [
        *("OC1=CC=C~N1", "C~C", "C:C", "CC:C:C"),
        *("*c1ccc(CC*)cc1C(=O)NC", "[*:1]CC", "[1*]CC", "*", "[#0]C", "[H]*"),
        *("", " ", "C1CC", "CCO ethanol", "[D]C", "C" * (MAX_SMILES_CHARACTERS + 1), "C(C)(C)(C)(C)C", "é", "CC\0"),
    ],
)
def test_what_is_no_molecule(text: str):
    assert canonical_smiles(text) is None


def test_options_tell_isotopes_apart_and_allow_attachment_points():
    isotopes, points = SmilesOptions(isotopes=True), SmilesOptions(attachment_points=True)
    assert canonical_smiles("[2H]C", isotopes) == "[2H]C"
    assert canonical_smiles("C[C@H]([2H])O", isotopes) == "[2H][C@@H](C)O"
    assert canonical_smiles("[H]/C=C/[CH2:3]O", isotopes) == "C=CCO"
    labelled = {canonical_smiles(s, points) for s in ("*CC", "[*:1]CC", "[7*]CC", "CC[*:2]")}
    assert labelled == {"*CC"}
    assert canonical_smiles("[13CH3]*", points) == "*C"
    assert canonical_smiles("*CC", isotopes) is canonical_smiles("C~C", points) is None
    assert normal_form("*CC", Modality.SMILES, points) == "*CC"


@pytest.mark.parametrize("options", [None, {}, {"isotopes": True}, SmilesOptions(isotopes=True)])
def test_options_may_be_a_mapping(options):
    assert SmilesOptions.of(options).isotopes is bool(options)


@pytest.mark.parametrize("options", [{"isotope": True}, {"isotopes": "yes"}, {"isotopes": 1}])
def test_unknown_options_are_named(options):
    with pytest.raises(ValueError, match=r"smiles_options has isotopes?=.*isotopes, attachment_points"):
        SmilesOptions.of(options)


def test_mutated_molecules_have_a_normal_form_that_is_its_own(held_out: Callable[[Modality], list[str]]):
    """1,000 here; 25,000 were tried once: all of them, and 24,998 the same for another spelling as well."""
    rng = random.Random(0)
    real = held_out(Modality.SMILES)
    found = 0
    while found < 1000:
        tokens = re.findall(SMILES_PATTERN, rng.choice(real))
        for _ in range(rng.randint(1, 4)):
            i, j = rng.randrange(len(tokens)), rng.randrange(len(tokens))
            tokens[i], tokens[j] = tokens[j], tokens[i]
        if (form := canonical_smiles("".join(tokens))) is not None:
            found += 1
            assert canonical_smiles(form) == form, "".join(tokens)


def test_real_molecules_are_read_and_keep_their_form(held_out: Callable[[Modality], list[str]]):
    real = held_out(Modality.SMILES)[:4000]
    forms = [canonical_smiles(s) for s in real]
    assert forms.count(None) <= 0.001 * len(real)
    assert sum(form == s for form, s in zip(forms, real, strict=True)) >= 0.998 * len(real)


@pytest.mark.parametrize(
    "smiles", ["[Pt]<-[o]1cccc1", "Cc1nnc(C)[o]1->[Pt]", "c1ccc(P(c2ccccc2)(c2ccccc2)(c2ccccc2)c2ccccc2)cc1"]
)
def test_what_has_no_scaffold_is_its_own(smiles: str):
    [form] = {canonical_smiles(s) for s in (smiles, Chem.MolToSmiles(parse_smiles(smiles), doRandom=True))}
    assert murcko_scaffold(form, generic=True) == form
    assert murcko_scaffold(form) in (form, canonical_smiles(smiles))


def test_scaffolds():
    assert murcko_scaffold("C" * 4000) == murcko_scaffold("[2H]C") == murcko_scaffold("CCO", generic=True) == ""
    assert murcko_scaffold("[2H]c1ccccc1CC") == "c1ccccc1"
    large = "C1CC1" + "C" * 3000
    assert murcko_scaffold(large) == large  # more atoms than scaffolds are looked for in


def test_identities_from_exact_to_connectivity():
    aspirin = [
        ASPIRIN,
        "CC(=O)Oc1ccccc1C(=O)[O-]",
        "CC(=O)Oc1ccccc1C(=O)[O-].[Na+]",
        f"{ASPIRIN}.O",
        "C=C(O)Oc1ccccc1C(=O)O",
    ]
    alanine = ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "C[C@H]([NH3+])C(=O)[O-]", "CC(N)C(=O)O"]

    def different(identity: str, smiles: list[str]) -> int:
        return len({identity_key(canonical_smiles(s), identity) for s in smiles})

    assert [different(identity, aspirin) for identity in IDENTITIES] == [5, 2, 1, 1]
    assert [different(identity, alanine) for identity in IDENTITIES] == [4, 3, 3, 1]
    assert [different(identity, ["O=c1cc[nH]cc1", "Oc1ccncc1"]) for identity in IDENTITIES] == [2, 2, 1, 1]
    assert [different(identity, ["CCCO", "CC(C)O", "CCC=O"]) for identity in IDENTITIES] == [3, 3, 3, 3]


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize(
    "smiles", ["[H][H]", "[H+]", "[Cl-].[Na+]", "[Pt]<-[o]1cccc1", "*C", "no SMILES", "", "C" * 5000]
)
def test_an_identity_never_raises(smiles: str, identity: str):
    assert isinstance(identity_key(smiles, identity), str)


def test_isotopes_and_hydrogens_mislead_no_measure():
    plain, heavy = "c1ccccc1", "[2H]c1c([2H])c([2H])c([2H])c([2H])c1[2H]"
    assert molecules.sa_score(heavy) == molecules.sa_score(plain) == pytest.approx(1.0, abs=0.1)
    for measure in (molecules.qed, molecules.logp, molecules.tpsa, molecules.rotatable_bonds, molecules.rings):
        assert measure(heavy) == measure(plain)
    assert molecules.rotatable_bonds("[2H]C([2H])([2H])CC") == molecules.rotatable_bonds("CCC")
    assert molecules.molecular_weight(heavy) > molecules.molecular_weight(plain) + 6
    assert fingerprint(heavy) == fingerprint(plain)
    assert complexity("[13CH3][14CH2][11CH2]CCCCC", "SMILES") == complexity("CCCCCCCC", "SMILES")


def grid(n: int) -> str:
    """A lattice of n x n carbon atoms: (n - 1)² fused squares."""
    mol = Chem.RWMol()
    for _ in range(n * n):
        mol.AddAtom(Chem.Atom(6))
    for i in range(n * n):
        for j in ([i + 1] if (i + 1) % n else []) + ([i + n] if i + n < n * n else []):
            mol.AddBond(i, j, Chem.BondType.SINGLE)
    mol.UpdatePropertyCache()
    return Chem.MolToSmiles(mol)


@pytest.mark.parametrize(
    "smiles",
    [
        *("C" * 4000, "C1CC1" + "C" * 3990, "C1CC1" * 800, "C" + "[C@H](F)" * 440, "C=C" * 1333, "C." * 1999 + "C"),
        *(
            "C(" * 1300 + "C" + ")" * 1300,
            "[Na+].[Cl-]." * 300 + "C",
            "CC(=O)" * 84 + "C",
            "N[C@@H](C)C(=O)" * 50 + "O",
        ),
        *(grid(16), grid(26), "C%10" * 900, "c1" + "c" * 1900 + "1", "Oc1nc2nc(O)c3nc(O)c(O)nc3c2nc1O", "N=N" * 80),
    ],
    ids=lambda smiles: smiles[:12],
)
def test_any_text_takes_bounded_time(smiles: str):
    """Each took 1.4 s at most (one core); the scaffold of a chain at a ring alone took over a minute before."""
    start = time.monotonic()
    if form := canonical_smiles(smiles):
        for generic in (False, True):
            murcko_scaffold(form, generic)
        for identity in IDENTITIES:
            identity_key(form, identity)
        fingerprint(form)
        for measure in (molecules.qed, molecules.sa_score, molecules.logp, molecules.alerts, molecules.rotatable_bonds):
            measure(form)
        complexity(form, "SMILES")
    assert time.monotonic() - start < 15
