"""20,000 odd spellings through reward, memory, metrics and every component: no exception, all finite, one form."""

import itertools
import math
import random
import re
import warnings
from pathlib import Path

import pytest

from lobster.constants import Modality
from lobster.evaluation import sample_metrics
from lobster.rl_training import DiversityMemory, create_ume_reward_wrapper
from lobster.scoring import Component, ScoringFunction
from lobster.scoring.completions import read_completion
from lobster.scoring.components import _UNIT, ORACLES, kinds
from lobster.scoring.reference import MEASURES
from lobster.sequences import SmilesOptions, normal_form
from lobster.sequences.chemistry import IDENTITIES
from lobster.tokenization.vocabulary import SMILES_PATTERN

BATCH, BATCHES = 100, 67  # of each modality
MOLECULES = [
    *("CCO", "c1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "C[C@H](N)C(=O)O", "F/C=C/Cl", "c1ccc2[nH]ccc2c1", "C1CC1.O"),
    *("CS(=O)(=O)Nc1ccncc1", "COP(=O)(OC)O", "CN1CCN(C)CC1", "C1CC2CCC1C2", "O=C1CCCN1", "CC(C)C[C@@H](C)O", "C=CC=C"),
]
BONDS = ["~", "->", "<-", "$", "=", "#", ":", "/", "\\", "-", ""]
ATOMS = [
    *("[2H]", "[H]", "[3H]", "[HH]", "[H+]", "[H-]", "[2HH]", "[#1]", "[13CH3]", "[99CH2]", "[235U]", "[0CH3]", "[#6]"),
    *("[NH4+]", "[O-]", "[Na+]", "[Cl-]", "[Fe+2]", "[Fe+++]", "[C-4]", "[CH3:1]", "[CH2:999]", "[C@@H:3]", "[NH2:0]"),
    *("*", "[*]", "[*:1]", "[1*]", "[*H]", "[Pt]", "[Pt@SP1]", "[Zn]", "[o]1cccc1", "[B]", "[Xe]", "[S@](=O)", "[P]"),
    *("[nH+]", "[se]1cccc1", "[Si]", "[N@@]", "[CH]", "[C]", "C", "N", "c1ccccc1", "%10C%10", "(C)", "."),
]
ODD = [*"juxQ*-.1\n ", " 10 ", "\r\n", "ſ", "\u212a", "é", ">", "\n>b\n", "\n;c\n"]
LETTERS = {
    Modality.AMINO_ACID: [*"ACDEFGHIKLMNPQRSTVWYXBZUO", *"ACDEFGHIKLMNPQRSTVWYXBZUOacd", *ODD],
    Modality.NUCLEOTIDE: [*"ACGTUNRYSWKMBDHVacgtun", *"ACGTUNRYSWKMBDHVacgtun", *ODD],
}
REAL = {
    Modality.SMILES: MOLECULES,
    Modality.AMINO_ACID: ["MQIFVKTLTGKTITLEVEPS", ">a b\nMKTVRQ\nERLK*", "MKXBZUO", "X"],
    Modality.NUCLEOTIDE: ["ATGCAGATTTTCGTGAAAACC", "augcagauuuucgug", ">g\nATGC\nATGA", "NNNN"],
}
TAGS = {Modality.SMILES: "smiles", Modality.AMINO_ACID: "protein", Modality.NUCLEOTIDE: "rna"}
PARAMETERS = {
    "similarity": {"references": ["CCO"]},
    "substructures": {"wanted": ["C"]},
    "motifs": {"forbidden": ["AUGX"]},
    "forbidden_sites": {"sites": ["EcoRI"]},
}


def odd_spelling(rng: random.Random, modality: Modality) -> str:
    """Insert a few odd pieces into a real sequence, mostly where they fit."""
    tokens = re.findall(SMILES_PATTERN, rng.choice(REAL[modality]))
    for _ in range(rng.choice([1, 1, 2, 3])):
        bond, atom = rng.choice(BONDS), rng.choice(ATOMS)
        at = rng.randint(0, len(tokens))
        if modality is not Modality.SMILES:
            tokens.insert(at, rng.choice(LETTERS[modality]))
        elif at == 0:
            tokens = [atom, bond, *tokens]
        elif at == len(tokens):
            tokens += [bond, atom]
        else:
            tokens[at : at + rng.randint(0, 1)] = rng.choice([f"({bond}{atom})", atom, bond])
    text = "".join(tokens)
    return rng.choice([text, text, text, f" {text}\n", f"<{TAGS[modality]}>{text}</{TAGS[modality]}>"])


def every_component(folder: Path) -> ScoringFunction:
    transform = {"kind": "linear", "low": -1000, "high": 1000}
    (folder / "family.fasta").write_text(">query\nMKTVRQERLKSIVRILERSKEPVSGAQLAEELS\n")
    parameters = PARAMETERS | {"family": {"relatives": str(folder / "family.fasta")}}
    return ScoringFunction(
        [
            Component(kind, transform=None if kind in _UNIT else transform, **parameters.get(kind, {}))
            for kind in kinds()
            if kind not in ORACLES
        ],
        combine="arithmetic",
    )


@pytest.mark.parametrize("modality", Modality)
def test_odd_spellings(tiny_ume, tmp_path: Path, modality: Modality):
    rng = random.Random(7)
    scoring = every_component(tmp_path)
    options = SmilesOptions(isotopes=True, attachment_points=True)
    reward = create_ume_reward_wrapper(
        tiny_ume, diversity=DiversityMemory("generic"), smiles_options=options, long_sequences="windows"
    )
    memories = [DiversityMemory(identity=identity) for identity in IDENTITIES]
    forms: set[str] = set()
    for number in range(BATCHES):
        texts = [odd_spelling(rng, modality) for _ in range(BATCH)]
        rewards = reward(completions=texts, modality=[rng.choice([modality, None])] * BATCH)
        assert len(rewards) == BATCH
        assert all(math.isfinite(r) and r >= 0 for r in rewards)
        items = [read_completion(text, modality, 1024, options) for text in texts]
        for form in {item.sequence for item in items if item.molecule} - forms:
            forms.add(form)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                score = scoring(form, modality, 0.5, dict.fromkeys(MEASURES, 0.5))
            numbers = [score.total, *score.parts.values(), *score.values.values()]
            assert all(map(math.isfinite, numbers)) or set(form) <= set("XBZUO"), (form, score)
        if number % 5 == 0:
            for memory in memories:
                assert all(0 <= share <= 1 for share in memory.pay([item.molecule for item in items]))
            metrics = sample_metrics(texts, modality, REAL[modality])
            assert 0 < metrics.validity < 1
            assert all(map(math.isfinite, vars(metrics).values())), metrics
    assert len(forms) > 1000
    assert len(reward.diversity) > 100
    assert modality is Modality.AMINO_ACID or not scoring.failures  # what is nothing but X has no properties


@pytest.mark.parametrize("modality", Modality)
def test_a_normal_form_is_its_own(modality: Modality):
    rng = random.Random(8)
    every = [SmilesOptions(*choices) for choices in itertools.product([False, True], repeat=2)]
    found = 0
    for _ in range(2000):
        text = odd_spelling(rng, modality)
        for options in every if modality is Modality.SMILES else every[:1]:
            if (form := normal_form(text, modality, options)) is not None:
                found += 1
                assert normal_form(form, modality, options) == form, text
                assert not set(form) & (set("~:") if modality is Modality.SMILES else set(" \n>*0123456789")), text
    assert found > 500
