"""How well a policy grows and links what it is given: validity, uniqueness, and the share that contains it. Prints JSON.

python benchmarks/growing.py --data DATA            # of held-out molecules: scaffolds, cores with several marks, ends to link
python benchmarks/growing.py --fragment '*c1ccncc1' '*c1ccc(*)nc1' --link '*c1ccncc1' '*C1CCNCC1' --policy runs/mine
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMMPA
from rdkit.Chem.Scaffolds import MurckoScaffold
from transformers.utils.logging import disable_progress_bar

from lobster.evaluation import fill_in, grow
from lobster.model.policies import load_policy
from lobster.prompts import linker_prompts
from lobster.sequences import canonical_smiles, read_sequences
from lobster.sequences.chemistry import murcko_scaffold

LARGEST = 60  # characters of a part


def main() -> None:
    """Measure each, and the mean of each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of held-out sequences, as of the scorecard")
    parser.add_argument("--fragment", nargs="*", default=[], help="to grow at their marks")
    parser.add_argument("--link", nargs=2, action="append", default=[], metavar="FRAGMENT", help="two to link")
    parser.add_argument("--policy", default="smiles-policy-7M")
    parser.add_argument("--parts", type=int, default=20, help="of each kind, from the held-out molecules")
    parser.add_argument("--samples", type=int, default=64, help="of each")
    parser.add_argument("--longest", type=int, default=126, help="tokens that are written at a mark")
    arguments = parser.parse_args()
    disable_progress_bar()
    policy = load_policy(arguments.policy)
    tasks = {"fragments": [(f,) for f in arguments.fragment], "links": [tuple(pair) for pair in arguments.link]}
    if arguments.data:
        file = arguments.data / "smiles/valid.txt.gz"
        molecules = [
            s for m in np.random.default_rng(0).permutation(read_sequences(file))[:2000] if (s := canonical_smiles(m))
        ]
        for kind, parts in (("ends", ends), ("cores", cores), ("scaffolds", scaffolds)):
            found = dict.fromkeys(part for m in molecules for part in parts(m))
            tasks[kind] = [part for part in found if max(map(len, part)) < LARGEST][: arguments.parts]
    for kind, parts in tasks.items():
        rows = []
        for part in parts:
            rows.append(measured(part, *policy, arguments))
            print(json.dumps({"kind": kind} | rows[-1]), flush=True)
        if rows:
            means = {name: round(float(np.mean([row[name] for row in rows])), 3) for name in rows[0] if name != "of"}
            print(json.dumps({"policy": arguments.policy, "kind": kind, "parts": len(rows)} | means), flush=True)


def scaffolds(smiles: str) -> Iterator[tuple[str, ...]]:
    """Find the Murcko scaffold of a molecule, to grow anywhere."""
    if scaffold := murcko_scaffold(smiles):
        yield (scaffold,)


def cores(smiles: str) -> Iterator[tuple[str, ...]]:
    """Find the Murcko scaffold with marks where the molecule has side chains, if it has two to four."""
    mol = Chem.MolFromSmiles(smiles)
    core = Chem.ReplaceSidechains(mol, MurckoScaffold.GetScaffoldForMol(mol)) if murcko_scaffold(smiles) else None
    if core and 2 <= (text := Chem.MolToSmiles(core)).count("*") <= 4 and "." not in text:
        yield (text,)


def ends(smiles: str) -> Iterator[tuple[str, ...]]:
    """Find two parts of five atoms or more that are left where a piece between them is cut out of a molecule."""
    cuts = {"minCuts": 2, "maxCuts": 2, "maxCutBonds": 20}
    for middle, sides in rdMMPA.FragmentMol(Chem.MolFromSmiles(smiles), **cuts, resultsAsMols=False):
        parts = sides.split(".")
        if middle and len(parts) == 2 and min(Chem.MolFromSmiles(p).GetNumHeavyAtoms() for p in parts) >= 5:
            yield tuple(parts)
            return


def measured(parts: tuple[str, ...], model: Any, tokenizer: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Let a policy grow a fragment, or link two."""
    limit = {"max_new_tokens": arguments.longest}
    if len(parts) == 1:
        written = grow(model, tokenizer, parts[0], arguments.samples, **limit)
    else:
        written = fill_in(model, tokenizer, linker_prompts(*parts), arguments.samples, **limit)
    cores = [Chem.DeleteSubstructs(Chem.MolFromSmiles(part), Chem.MolFromSmarts("[#0]")) for part in parts]
    valid = [s for s in map(canonical_smiles, written) if s]
    good = [s for s in valid if contains(Chem.MolFromSmiles(s), cores)]
    new_atoms = [Chem.MolFromSmiles(s).GetNumAtoms() - sum(core.GetNumAtoms() for core in cores) for s in good]
    return {
        "of": parts,
        "written": len(written),
        "valid": len(valid) / len(written),
        "contain it": len(good) / max(len(valid), 1),
        "different": len(set(good)) / max(len(good), 1),
        "different that contain it": len(set(good)),
        "new atoms": float(np.mean(new_atoms or [0])),
    }


def contains(mol: Any, cores: list[Any], taken: frozenset[int] = frozenset()) -> bool:
    """Say whether a molecule has all cores, no atom in two of them."""
    if not cores:
        return True
    matches = (frozenset(match) for match in mol.GetSubstructMatches(cores[0], uniquify=False, maxMatches=200))
    return any(contains(mol, cores[1:], taken | match) for match in matches if not match & taken)


if __name__ == "__main__":
    main()
