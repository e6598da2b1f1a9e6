"""An encoder adapts to a family only where it foretells relatives that it has not seen; the command says what became of it."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lobster.constants import Modality
from lobster.model import Ume
from lobster.pretraining.__main__ import main
from lobster.pretraining.adaptation import AdaptArguments, Batches, adapt, divide, surprise
from lobster.scoring import Scorer
from lobster.scoring.families import RESIDUES, alike

QUERY = "MSDQEAKPSTEDLGDKKEGEYIKLKVIGQDSSEIHFKVKMTTHLKKLKES"
OTHERS = ["MALWMRLLPLLALLALWGPDPAAAFVNQHLCG", "MGSSHHHHHHSSGLVPRGSHMASMTGGQQMGRGS"] * 5


def relatives_of(query: str, count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    rows = np.array([list(query)] * count)
    changed = rng.random(rows.shape) < 0.35
    rows[changed] = rng.choice(list(RESIDUES), size=int(changed.sum()))
    return ["".join(row) for row in rows]


RELATIVES = relatives_of(QUERY, 30)


def fasta(sequences: list[str]) -> str:
    return "".join(f">{i}\n{sequence}\n" for i, sequence in enumerate(sequences))


@pytest.fixture
def arguments(tmp_path: Path, tiny_ume: Ume) -> AdaptArguments:
    (tmp_path / "relatives.fasta").write_text(fasta([QUERY, *RELATIVES]))
    (tmp_path / "others.fasta").write_text(fasta(OTHERS))
    tiny_ume.save_pretrained(tmp_path / "start")
    return AdaptArguments(
        amino_acid=str(tmp_path / "relatives.fasta"),
        output_dir=str(tmp_path / "out"),
        start=str(tmp_path / "start"),
        replay=str(tmp_path / "others.fasta"),
        max_steps=20,
        eval_steps=10,
        batch_tokens=512,
        learning_rate=3e-3,
        device="cpu",
    )


def test_nothing_that_is_held_out_is_alike_to_what_is_learned():
    copies = [relative[:-1] + "A" for relative in RELATIVES]
    family = divide(QUERY, RELATIVES + copies)
    assert family.train[0] == QUERY
    assert not set(family.train) & set(family.heldout)
    assert 2 <= len(family.heldout) <= 6
    both = [*family.heldout, *family.train]
    pairs = alike(family.profile.aligned(both))
    assert not pairs[: len(family.heldout), len(family.heldout) :].any()
    assert max(family.weights[1:]) == 0.5  # each has its copy


def test_too_few_relatives_are_told():
    with pytest.raises(
        ValueError, match=r"5 relatives, 5 of them different, are too few .* expected 10 different ones"
    ):
        divide(QUERY, RELATIVES[:5])
    with pytest.raises(ValueError, match="40 relatives, 0 of them different"):
        divide(QUERY, [QUERY] * 40)


def test_targets_are_the_residues_the_profile_and_the_start(tiny_ume: Ume, arguments: AdaptArguments):
    family = divide(QUERY, RELATIVES)
    drawn = {}
    for share in (0.0, 1.0):
        a = replace(arguments, profile_share=share)
        drawn[share] = Batches(copy.deepcopy(tiny_ume), family, OTHERS, a)._relatives()
    themselves, profile = drawn[0.0], drawn[1.0]
    assert set(themselves.targets.unique().tolist()) == {0.0, 1.0}
    assert len(themselves.targets) == int(themselves.masked.sum())
    for batch in drawn.values():
        assert batch.targets.sum(1).numpy() == pytest.approx(1, abs=1e-5)
    assert (profile.targets.max(1).values < 1).float().mean() > 0.8  # not where a residue has no position
    # Where most relatives have one residue, the profile has it too.
    agreed = (profile.targets.argmax(1) == themselves.targets.argmax(1)).float().mean()
    assert agreed > 0.5
    others = Batches(copy.deepcopy(tiny_ume), family, OTHERS, arguments)._other_proteins()
    with torch.no_grad():
        said = tiny_ume.model(**others.inputs).logits[others.masked].softmax(-1)
    assert others.targets.numpy() == pytest.approx(said.numpy(), abs=1e-5)


def test_an_encoder_learns_its_family(tiny_ume: Ume, arguments: AdaptArguments, capsys):
    ume = adapt(arguments)
    facts = json.loads((Path(arguments.output_dir) / "training.json").read_text())
    nats = facts["heldout_nats"]
    assert nats["adapted"] < nats["start"]
    assert facts["kept_step"] in (10, 20)
    assert "held-out relatives, nats a residue: start" in capsys.readouterr().out
    heldout = divide(QUERY, RELATIVES).heldout
    saved = Ume.from_pretrained(arguments.output_dir, device="cpu")
    assert surprise(saved, heldout) == pytest.approx(nats["adapted"], abs=1e-3)
    assert surprise(tiny_ume, heldout) == pytest.approx(nats["start"], abs=1e-3)
    assert not ume.model.training
    score = Scorer(saved).score(RELATIVES[:2])  # the family is what is natural
    assert all(set(item.values) >= {"naturalness", "typicality"} for item in score)
    smiles = ["CCO"]
    assert saved.compute_pseudo_likelihood(smiles, Modality.SMILES)[0] > 0


def test_the_start_is_kept_where_nothing_is_gained(tiny_ume: Ume, arguments: AdaptArguments, capsys):
    arguments.learning_rate = 0.0
    Path(arguments.start, "reference.json").write_text("the start's")
    ume = adapt(arguments)
    assert "the start is kept" in capsys.readouterr().out
    assert Path(arguments.output_dir, "reference.json").read_text() == "the start's"
    for one, other in zip(ume.model.parameters(), tiny_ume.model.parameters(), strict=True):
        assert torch.equal(one, other)
    facts = json.loads((Path(arguments.output_dir) / "training.json").read_text())
    assert facts["kept_step"] == 0
    assert facts["heldout_nats"]["adapted"] == facts["heldout_nats"]["start"]


def test_the_commands_find_relatives_and_adapt(tmp_path: Path, arguments: AdaptArguments, capsys):
    (tmp_path / "database.fasta").write_text(fasta([*RELATIVES, *OTHERS[:2]]))
    output = tmp_path / "found.fasta"
    main(["relatives", "--query", QUERY, "--database", str(tmp_path / "database.fasta"), "--output", str(output)])
    assert output.read_text().startswith(f">query\n{QUERY}\n>")
    found = output.read_text().count(">") - 1
    assert found >= 25
    assert f"has the query and {found} relatives" in capsys.readouterr().out
    words = (
        f"--amino_acid {output} --start {arguments.start} --replay {arguments.replay} --output_dir {tmp_path}/adapted"
    )
    main(["adapt", *words.split(), "--max_steps", "2", "--batch_tokens", "256", "--device", "cpu"])
    assert (tmp_path / "adapted" / "model.safetensors").is_file()
    assert (tmp_path / "adapted" / "tokenizers" / "amino_acid" / "tokenizer.json").is_file()
