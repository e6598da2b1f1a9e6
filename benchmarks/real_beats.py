"""How often real sequences beat spoiled copies of themselves by the default score, and how many keep their full typicality.

python benchmarks/real_beats.py --data DATA          # both encoders; prints a JSON object for each
"""

import argparse
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measuring import FILES
from transformers.utils.logging import disable_progress_bar

from lobster.constants import Modality
from lobster.evaluation.corruption import corrupt_letters, shuffle_bonds, swap_atoms, swap_tokens
from lobster.model import Ume
from lobster.rl_training import UmeRewardFunction
from lobster.sequences import canonical_smiles, read_sequences

LONGEST = 1000  # letters


def shuffled(protein: str, rng: random.Random) -> str:
    """Return a protein in another order, from the same start."""
    return protein[0] + "".join(rng.sample(protein[1:], len(protein) - 1))


def to_leucine(protein: str, rng: random.Random) -> str:
    """Return a protein without its C, W, H, M, Y, F and P."""
    return protein[0] + "".join("L" if x in "CWHMYFP" else x for x in protein[1:])


def fifth_replaced(protein: str, rng: random.Random) -> str:
    """Return a protein with a fifth of its residues exchanged for others."""
    return corrupt_letters(protein, Modality.AMINO_ACID, np.random.default_rng(rng.randrange(2**32)), 0.2)


def shuffled_codons(gene: str, rng: random.Random) -> str:
    """Return a gene with the codons between start and stop in another order."""
    codons = [gene[i : i + 3] for i in range(3, len(gene) - 3, 3)]
    return gene[:3] + "".join(rng.sample(codons, len(codons))) + gene[-3:]


def with_stop(gene: str, rng: random.Random) -> str:
    """Return a gene with one codon inside exchanged for a stop."""
    place = 3 * rng.randrange(1, len(gene) // 3 - 1)
    return gene[:place] + rng.choice(["TAA", "TAG", "TGA"]) + gene[place + 3 :]


def numpy_first(spoil: Callable) -> Callable:
    """Let a corruption that draws from numpy draw from a `random.Random`; salts have no isomers of this kind."""
    return lambda s, rng: None if "." in s else spoil(s, np.random.default_rng(rng.randrange(2**32)))


SPOILED = {
    Modality.SMILES: {
        "two atoms swapped": numpy_first(swap_atoms),
        "bonds shuffled": numpy_first(shuffle_bonds),
        "4 token swaps": numpy_first(swap_tokens),
    },
    Modality.AMINO_ACID: {
        "shuffled, the start kept": shuffled,
        "CWHMYFP to L": to_leucine,
        "a fifth replaced": fifth_replaced,
    },
    Modality.NUCLEOTIDE: {"codons shuffled": shuffled_codons, "a stop inside": with_stop},
}


def main() -> None:
    """Measure each encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of held-out sequences, as of the scorecard")
    parser.add_argument("--encoder", nargs="+", default=["ume-nano-base-3M", "ume-mini-base-12M"])
    parser.add_argument("--count", nargs=3, type=int, default=[600, 150, 150], help="of each modality")
    arguments = parser.parse_args()
    disable_progress_bar()
    for encoder in arguments.encoder:
        reward = UmeRewardFunction(Ume.from_pretrained(encoder))
        for (modality, file), count in zip(FILES.items(), arguments.count, strict=True):
            rng = random.Random(0)
            real = [s for s in read_sequences(arguments.data / file) if len(s) <= LONGEST]
            real = rng.sample(real, count)
            if modality is Modality.SMILES:
                real = [s for s in map(canonical_smiles, real) if s]
            scored = reward.score(real, modality)
            facts: dict = {"encoder": encoder, "modality": modality, "sequences": len(real)}
            facts["full typicality"] = np.mean([s.values.get("typicality") == 1 for s in scored])
            for name, spoil in SPOILED[modality].items():
                pairs = [(item, copy) for s, item in zip(real, scored, strict=True) if (copy := spoil(s, rng))]
                others = reward.score([copy for _, copy in pairs], modality)
                facts[name] = np.mean([a.score > b.score for (a, _), b in zip(pairs, others, strict=True)])
            print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in facts.items()}), flush=True)


if __name__ == "__main__":
    main()
