"""How well a policy grows fragments that it is given: validity, uniqueness, and the share that contains the fragment. Prints JSON.

python benchmarks/growing.py --data DATA                       # scaffolds of held-out molecules
python benchmarks/growing.py --fragment '*c1ccncc1' --policy runs/mine
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem
from transformers.utils.logging import disable_progress_bar

from lobster.evaluation import sample
from lobster.model.policies import load_policy
from lobster.prompts import growth_prompts
from lobster.sequences import canonical_smiles, read_sequences
from lobster.sequences.chemistry import murcko_scaffold


def main() -> None:
    """Measure each fragment, and all together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of held-out sequences, as of the scorecard")
    parser.add_argument("--fragment", nargs="*", default=[])
    parser.add_argument("--policy", default="smiles-policy-7M")
    parser.add_argument("--scaffolds", type=int, default=20, help="how many of the held-out molecules'")
    parser.add_argument("--prompts", type=int, default=8, help="spellings of a fragment")
    parser.add_argument("--samples", type=int, default=16, help="of each prompt")
    arguments = parser.parse_args()
    disable_progress_bar()
    model, tokenizer = load_policy(arguments.policy)
    fragments = list(arguments.fragment)
    if arguments.data:
        molecules = np.random.default_rng(0).permutation(read_sequences(arguments.data / "smiles/valid.txt.gz"))
        scaffolds = dict.fromkeys(murcko_scaffold(s) for m in molecules[:2000] if (s := canonical_smiles(m)))
        fragments += [s for s in scaffolds if s and len(s) < 60][: arguments.scaffolds]
    rows = [grown(fragment, model, tokenizer, arguments) for fragment in fragments]
    for row in rows:
        print(json.dumps(row), flush=True)
    figures = {name: round(float(np.mean([row[name] for row in rows])), 3) for name in rows[0] if name != "fragment"}
    print(json.dumps({"policy": arguments.policy, "fragments": len(rows)} | figures))


def grown(fragment: str, model: Any, tokenizer: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Let a policy grow a fragment."""
    written = [
        prompt + rest
        for seed, prompt in enumerate(growth_prompts(fragment, arguments.prompts))
        for rest in sample(model, tokenizer, arguments.samples, prompt, seed=seed)
    ]
    valid = [s for s in map(canonical_smiles, written) if s]
    core = Chem.DeleteSubstructs(Chem.MolFromSmiles(fragment), Chem.MolFromSmarts("[#0]"))
    contain = [Chem.MolFromSmiles(s).HasSubstructMatch(core) for s in valid]
    return {
        "fragment": fragment,
        "written": len(written),
        "valid": len(valid) / len(written),
        "unique": len(set(valid)) / max(len(valid), 1),
        "contain it": float(np.mean(contain or [0])),
        "grown": float(np.mean([Chem.MolFromSmiles(s).GetNumAtoms() > core.GetNumAtoms() for s in valid] or [0])),
    }


if __name__ == "__main__":
    main()
