"""The diversity memory: alone, on disk, and over processes."""

import random
import subprocess
import sys
import textwrap

import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from lobster.constants import Modality
from lobster.rl_training import DiversityMemory
from lobster.sequences import normal_form

RESIDUES, BASES = "ACDEFGHIKLMNPQRSTVWY", "acgt"
HARD = {"decay": "hard", "floor": 0.0, "crowding": 0.0}
PHENYL_ETHERS = [(Modality.SMILES, "C" * n + "Oc1ccccc1") for n in range(1, 9)]


def random_sequence(rng: random.Random, letters: str, length: int) -> str:
    return "".join(rng.choices(letters, k=length))


def mutated(rng: random.Random, sequence: str, letters: str, rate: float) -> str:
    """Exchange exactly a share of the letters for others."""
    places = set(rng.sample(range(len(sequence)), round(rate * len(sequence))))
    return "".join(rng.choice(letters.replace(x, "")) if i in places else x for i, x in enumerate(sequence))


def test_a_molecule_pays_once_and_a_scaffold_a_few_times():
    memory = DiversityMemory(bucket_size=3, **HARD)
    assert memory.pay(PHENYL_ETHERS[:2]) == [1.0, 1.0]
    assert memory.pay([PHENYL_ETHERS[0], None, *PHENYL_ETHERS[2:5]]) == [0.0, 0.0, 1.0, 0.0, 0.0]
    assert memory.pay([(Modality.SMILES, "COc1ccncc1")]) == [1.0]
    assert len(memory) == 6


def test_what_repeats_does_not_fill_the_bucket():
    memory = DiversityMemory(bucket_size=2, **HARD)
    assert memory.pay([PHENYL_ETHERS[0]] * 10) == [1.0] + [0.0] * 9
    assert memory.pay([PHENYL_ETHERS[1]]) == [1.0]


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("hard", [1, 1, 1, 1, 0, 0]),
        ("linear", [1, 0.75, 0.5, 0.25, 0, 0]),
        ("sigmoid", [0.9987, 0.9655, 0.5, 0.0345, 0.0013, 0.0]),
    ],
)
def test_a_bucket_decays(decay, expected):
    memory = DiversityMemory(bucket_size=4, decay=decay, floor=0.0, crowding=0.0)
    assert memory.pay(PHENYL_ETHERS[:6]) == pytest.approx(expected, abs=1e-4)


def test_a_full_family_earns_the_floor_and_what_repeats_nothing():
    memory = DiversityMemory(bucket_size=4, decay="linear", floor=0.8, crowding=0.0)
    assert memory.pay(PHENYL_ETHERS[:6]) == pytest.approx([1, 0.95, 0.9, 0.85, 0.8, 0.8])
    assert memory.pay([PHENYL_ETHERS[0]]) == [0.0]
    with pytest.raises(ValueError, match=r"floor is .*: expected a share"):
        DiversityMemory(floor=1.5)


def test_what_is_like_the_latest_earns_less():
    memory = DiversityMemory("none", crowding=1.0)
    molecules = [(Modality.SMILES, s) for s in ("CO", "c1ccccc1", "CF", "CO")]
    assert memory.pay(molecules[:2]) == [1.0, 1.0]  # nothing came before
    prints = [
        rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint(Chem.MolFromSmiles(s))
        for _, s in molecules
    ]
    alike = DataStructs.TanimotoSimilarity(prints[0], prints[2])
    assert 0 < alike < 1
    assert DataStructs.TanimotoSimilarity(prints[1], prints[2]) == 0
    assert memory.pay(molecules[2:]) == [1 - alike / 2, 0.0]
    half = DiversityMemory("none", crowding=0.5)
    half.pay(molecules[:2])
    assert half.pay(molecules[2:]) == [1 - alike / 4, 0.0]


def test_only_the_latest_crowd():
    memory = DiversityMemory("none", crowding=1.0)
    memory.pay([(Modality.SMILES, "C" * n) for n in range(1, 10)])
    near = memory.pay([(Modality.SMILES, "C" * 10)])
    memory.pay([(Modality.SMILES, "c1ccccc1")] * 512)
    assert near < [0.8]
    assert memory.pay([(Modality.SMILES, "C" * 11)]) == [1.0]


def test_generic_scaffolds_join_what_differs_in_atoms_and_bonds():
    pyridine_and_phenyl = [(Modality.SMILES, s) for s in ("Cc1ccncc1", "Cc1ccccc1", "O=C1CCCCC1")]
    assert DiversityMemory("generic", bucket_size=1, **HARD).pay(pyridine_and_phenyl) == [1.0, 0.0, 0.0]
    assert DiversityMemory("murcko", bucket_size=1, **HARD).pay(pyridine_and_phenyl) == [1.0, 1.0, 1.0]
    assert DiversityMemory("none", bucket_size=1, **HARD).pay(PHENYL_ETHERS) == [1.0] * len(PHENYL_ETHERS)


@pytest.mark.parametrize(("modality", "letters", "length"), [("amino_acid", RESIDUES, 90), ("nucleotide", BASES, 240)])
def test_near_duplicates_are_one_family(modality, letters, length):
    """90 % identity is found every time, 80 % mostly, and unrelated sequences never."""
    rng = random.Random(0)
    found = {0.05: 0, 0.1: 0, 0.2: 0, 0.5: 0}
    for _ in range(100):
        founder = random_sequence(rng, letters, length)
        for rate in found:
            memory = DiversityMemory(bucket_size=1, **HARD)
            memory.pay([(Modality(modality), random_sequence(rng, letters, length)) for _ in range(5)])
            other = mutated(rng, founder, letters, rate)
            found[rate] += memory.pay([(Modality(modality), founder), (Modality(modality), other)]) == [1.0, 0.0]
    assert found[0.05] == 100
    assert found[0.1] >= 90
    assert found[0.5] == 0


def test_unrelated_sequences_are_families_of_their_own():
    rng = random.Random(1)
    for modality, letters, length in ((Modality.AMINO_ACID, RESIDUES, 90), (Modality.NUCLEOTIDE, BASES, 240)):
        memory = DiversityMemory(bucket_size=1, **HARD)
        assert memory.pay([(modality, random_sequence(rng, letters, length)) for _ in range(300)]) == [1.0] * 300


def test_shifted_and_too_short_sequences():
    rng = random.Random(2)
    protein = random_sequence(rng, RESIDUES, 80)
    memory = DiversityMemory(bucket_size=1, **HARD)
    molecules = [(Modality.AMINO_ACID, s) for s in (protein, protein[7:], "MK", "MKT", "MK")]
    assert memory.pay(molecules) == [1.0, 0.0, 1.0, 1.0, 0.0]
    exact = DiversityMemory(bucket_size=1, sequence_identity=None, **HARD)
    assert exact.pay(molecules) == [1.0, 1.0, 1.0, 1.0, 0.0]


def test_it_survives_on_disk(tmp_path):
    rng = random.Random(3)
    proteins = [random_sequence(rng, RESIDUES, 60) for _ in range(50)]
    variants = [mutated(rng, protein, RESIDUES, 0.1) for protein in proteins]
    memory = DiversityMemory(bucket_size=2, **HARD)
    memory.pay([*PHENYL_ETHERS[:1], *((Modality.AMINO_ACID, p) for p in proteins)])
    memory.save(tmp_path)
    other = DiversityMemory(bucket_size=2, **HARD)
    other.load(tmp_path)
    assert len(other) == 51
    for _ in range(3):
        more = [*PHENYL_ETHERS[:3], *((Modality.AMINO_ACID, mutated(rng, p, RESIDUES, 0.1)) for p in variants)]
        assert memory.pay(more) == other.pay(more)


def test_the_latest_survive_on_disk(tmp_path):
    memory, other = DiversityMemory(), DiversityMemory()
    memory.pay(PHENYL_ETHERS[:4])
    memory.save(tmp_path)
    other.load(tmp_path)
    shares = memory.pay(PHENYL_ETHERS[4:])
    assert max(shares) < 0.95
    assert other.pay(PHENYL_ETHERS[4:]) == shares


def test_a_memory_of_other_families_is_refused(tmp_path):
    DiversityMemory("generic").save(tmp_path)
    with pytest.raises(ValueError, match=r"'scaffold': 'generic'.*'scaffold': 'murcko'"):
        DiversityMemory().load(tmp_path)


def test_a_memory_of_another_identity_is_refused(tmp_path):
    DiversityMemory(identity="parent").save(tmp_path)
    with pytest.raises(ValueError, match=r"'identity': 'parent'.*'identity': 'exact'"):
        DiversityMemory().load(tmp_path)


@pytest.mark.parametrize(("identity", "paid"), [("exact", 5), ("parent", 2), ("tautomer", 1), ("connectivity", 1)])
def test_what_counts_as_the_same_molecule_is_an_option(tmp_path, identity, paid):
    acid = "CC(=O)Oc1ccccc1C(=O)O"
    spellings = [
        acid,
        "CC(=O)Oc1ccccc1C(=O)[O-]",
        "CC(=O)Oc1ccccc1C(=O)[O-].[Na+]",
        f"{acid}.O",
        "C=C(O)Oc1ccccc1C(=O)O",
    ]
    aspirin = [(Modality.SMILES, normal_form(s, Modality.SMILES)) for s in spellings]
    memory, other = DiversityMemory(identity=identity), DiversityMemory(identity=identity)
    assert sum(share > 0 for share in memory.pay(aspirin)) == paid
    memory.save(tmp_path)
    other.load(tmp_path)
    assert other.pay(aspirin) == [0.0] * 5


@pytest.mark.parametrize("scaffold", ["murcko", "generic"])
def test_what_has_no_scaffold_is_a_family_of_its_own(scaffold):
    odd = ["[Pt]<-[o]1cccc1", "Cc1nnc(C)[o]1->[Pt]", "c1ccc(P(c2ccccc2)(c2ccccc2)(c2ccccc2)c2ccccc2)cc1"]
    memory = DiversityMemory(scaffold, bucket_size=1, **HARD)
    assert memory.pay([(Modality.SMILES, normal_form(s, Modality.SMILES)) for s in odd]) == [1.0] * 3


def test_a_folder_without_a_memory_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="diversity=False"):
        DiversityMemory().load(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scaffold": "murko"}, "expected one of murcko, generic, none"),
        ({"decay": "soft"}, "expected one of hard, linear, sigmoid"),
        ({"bucket_size": 0}, "at least 1"),
        ({"identity": "same"}, "expected one of exact, parent, tautomer, connectivity"),
        ({"sequence_identity": 1.0}, "below 1"),
        ({"crowding": -0.1}, r"crowding is -0.1: expected a share"),
    ],
)
def test_what_does_not_exist_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        DiversityMemory(**settings)


def test_two_processes_share_one_memory(tmp_path):
    script = tmp_path / "share.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from accelerate import PartialState
            from lobster.constants import Modality
            from lobster.rl_training import DiversityMemory

            state = PartialState(cpu=True)
            memory = DiversityMemory(bucket_size=2, decay="hard", floor=0.0, crowding=0.0)
            ethers = lambda *chains: [(Modality.SMILES, chain + "Oc1ccccc1") for chain in chains]
            first = memory.pay([ethers("C", "CC"), ethers("CC", "CCC", "CCC")][state.process_index])
            second = memory.pay([[(Modality.SMILES, "Cc1ccncc1")], ethers("C", "CCCC")][state.process_index])
            with open(f"{sys.argv[1]}/{state.process_index}", "w") as out:
                print(first, second, len(memory), file=out)
            state.destroy_process_group()
            """
        )
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    subprocess.run([*command, str(script), str(tmp_path)], check=True, capture_output=True, timeout=120)
    assert (tmp_path / "0").read_text().strip() == "[1.0, 1.0] [1.0] 5"
    assert (tmp_path / "1").read_text().strip() == "[0.0, 0.0, 0.0] [0.0, 0.0] 5"
