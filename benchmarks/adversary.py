"""Searches for what the default score likes best: what a policy would end in that nothing else holds back.

A genetic algorithm of 2,000 evaluations, from real sequences or from next to nothing. Its best must not score above the best of
500 real sequences, and its best molecules should not have structural alerts that are rare among real ones. Prints JSON.

python benchmarks/adversary.py --data DATA                                  # both encoders, all modalities
python benchmarks/adversary.py --data DATA --modality SMILES --start little --seeds 0 1 2
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from measuring import FILES
from transformers.utils.logging import disable_progress_bar

from lobster.constants import Modality
from lobster.evaluation.corruption import LETTERS
from lobster.model import Ume
from lobster.rl_training import UmeRewardFunction
from lobster.scoring.molecules import alert_catalog
from lobster.sequences import canonical_smiles, read_sequences
from lobster.sequences.chemistry import molecule
from lobster.tokenization.vocabulary import SMILES_PATTERN

PARENTS, CHILDREN = 60, 60
PIECES = [*"CNOSFcnos()=#12-", "Cl", "Br", "[nH]", "C(=O)", "C(=O)N", "c1ccccc1", "[C@H]", "[C@@H]"]
LITTLE = ["C", "CC", "CCO", "CN", "C=O", "CC(=O)O", "CCCC", "c1ccccc1", "c1ccncc1", "C1CCCCC1"]
LONGEST = 300  # tokens

Rng = np.random.Generator


def search(
    score: Callable[[list[str]], list[float]], start: Sequence[str], change: Callable, evaluations: int, rng: Rng
):
    """Return what a genetic algorithm has tried and its scores, the best first."""
    scores: dict[str, float] = {}
    fresh = list(dict.fromkeys(start))
    while True:
        scores |= zip(fresh, score(fresh), strict=True)
        ranked = sorted(scores, key=scores.__getitem__, reverse=True)
        if len(scores) >= evaluations:
            return [(scores[s], s) for s in ranked]
        parents, children = ranked[:PARENTS], set[str]()
        while len(children) < CHILDREN:
            one, other = (parents[min(int(rng.exponential(15)), len(parents) - 1)] for _ in range(2))
            if (child := change(one, other, rng)) and child not in scores:
                children.add(child)
        fresh = sorted(children)


def change_tokens(tokens: list[str], other: list[str], pieces: Sequence[str], unit: int, rng: Rng) -> list[str]:
    """Exchange, insert, delete or repeat tokens, in units, or go on with another sequence's end."""
    tokens, place = list(tokens), lambda of: int(rng.integers(len(of) // unit + 1)) * unit
    i, length = place(tokens), unit * int(rng.choice([1, 1, 1, 2, 3, 6]))
    match rng.choice(["exchange", "insert", "delete", "repeat", "cross"], p=[0.35, 0.2, 0.15, 0.15, 0.15]):
        case "exchange":
            for at in rng.integers(len(tokens), size=rng.choice([1, 1, 2, 4])):
                tokens[at] = str(rng.choice(pieces))
        case "insert":
            tokens[i:i] = [str(rng.choice(pieces)) for _ in range(length)]
        case "delete":
            del tokens[i : i + length]
        case "repeat":
            at = place(tokens)
            tokens[at:at] = tokens[i : i + 2 * length]
        case "cross":
            tokens = tokens[:i] + other[place(other) :]
    return tokens[:LONGEST]


def change_smiles(one: str, other: str, rng: Rng) -> str | None:
    """Change a molecule; None where nothing that RDKit can parse came of 50 tries."""
    split = partial(re.findall, SMILES_PATTERN)
    for _ in range(50):
        changed = canonical_smiles("".join(change_tokens(split(one), split(other), PIECES, 1, rng)))
        if changed and changed != one:
            return changed
    return None


def change_letters(one: str, other: str, rng: Rng, letters: str, unit: int) -> str | None:
    """Change a protein or a gene."""
    return "".join(change_tokens(list(one), list(other), list(letters), unit, rng)) or None


def alerts(smiles: str) -> set[str]:
    """Return the names of a molecule's BRENK and PAINS alerts."""
    matches = alert_catalog(("BRENK", "PAINS")).GetMatches(molecule(smiles))
    return {match.GetDescription() for match in matches}


def attack(encoder: str, modality: Modality, start: str, seed: int, evaluations: int, real: list[str]) -> dict:
    """Search once."""
    rng = np.random.default_rng(seed)
    reward = UmeRewardFunction(Ume.from_pretrained(encoder))

    def score(sequences: list[str]) -> list[float]:
        return [item.score for item in reward.score(sequences, modality)]

    if modality is Modality.SMILES:
        change, little = change_smiles, LITTLE
    else:
        unit = 3 if modality is Modality.NUCLEOTIDE else 1
        change = partial(change_letters, letters=LETTERS[modality], unit=unit)
        little = ["".join(rng.choice(list(LETTERS[modality]), 60 * unit)) for _ in range(PARENTS)]
    best_real = max(score(real[:500]))
    found = search(score, real[500 : 500 + PARENTS] if start == "real" else little, change, evaluations, rng)
    facts = {"encoder": encoder, "modality": modality, "start": start, "seed": seed, "best of 500 real": best_real}
    facts |= {"best": found[0][0], "ten best": [sequence for _, sequence in found[:10]]}
    if modality is Modality.SMILES:
        readable = [s for s in map(canonical_smiles, real[:3000]) if s]
        usual = Counter(name for smiles in readable for name in alerts(smiles))
        rare = [any(usual[name] < 0.02 * len(readable) for name in alerts(s)) for s in facts["ten best"]]
        facts["with rare alerts"] = sum(rare)
    return facts


def attacks(arguments: argparse.Namespace) -> Iterator[dict]:
    """Search with each encoder in each modality from each start."""
    for modality in arguments.modality:
        real = read_sequences(arguments.data / FILES[modality])
        longest = LONGEST * (3 if modality is Modality.NUCLEOTIDE else 1)
        real = [s for s in np.random.default_rng(0).permutation(real).tolist() if len(s) <= longest]
        for encoder in arguments.encoder:
            for start in arguments.start:
                for seed in arguments.seeds:
                    yield attack(encoder, modality, start, seed, arguments.evaluations, real)


def main() -> None:
    """Search, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of held-out sequences, as of the scorecard")
    parser.add_argument("--encoder", nargs="+", default=["ume-nano-base-3M", "ume-mini-base-12M"])
    parser.add_argument("--modality", nargs="+", type=Modality, default=list(Modality))
    parser.add_argument("--start", nargs="+", default=["real", "little"], choices=["real", "little"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--evaluations", type=int, default=2000)
    disable_progress_bar()
    for facts in attacks(parser.parse_args()):
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
