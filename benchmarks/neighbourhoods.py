"""What a search takes for chemistry, by how many real molecules must have what an atom is bound to. Prints a table.

    python benchmarks/neighbourhoods.py --corpus train.txt.gz --held-out valid.txt.gz

Refused are molecules with an atom whose neighbourhood (`lobster.sequences.environments`) fewer molecules of the corpus have:
of held-out real ones it should be few, of what edits of graphs make up, generation after generation without a selection, many.
Molecules are read as they are spelled. `--searches` takes folders of searches, of which the hundred best are looked at too.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pandas as pd

from lobster.optimisation.genetic import offspring
from lobster.sequences import canonical_smiles, parse_smiles, read_sequences
from lobster.sequences.environments import neighbourhoods

LEAST = 1, 2, 5, 7, 10, 20
GENERATIONS = 1, 3, 10


def main() -> None:
    """Count, breed and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, help="file of SMILES to count")
    parser.add_argument("--held-out", required=True, help="file of SMILES that are not among them")
    parser.add_argument("--count", type=int, default=3000, help="held-out molecules, and children of a generation")
    parser.add_argument("--searches", nargs="*", default=[], help="folders of searches")
    arguments = parser.parse_args()
    random = Random(0)
    counts = Counter[int]()
    for smiles in filter(parse_smiles, read_sequences(arguments.corpus)):
        counts.update(neighbourhoods(smiles))
    real = [s for text in read_sequences(arguments.held_out) if (s := canonical_smiles(text)) and "." not in s]
    real = random.sample(real, min(arguments.count, len(real)))
    columns = {"real": real}
    for generation in GENERATIONS:
        columns[f"generation {generation}"] = bred(real, generation, random)
    for folder in arguments.searches:
        found = pd.read_csv(Path(folder) / "molecules.csv").sort_values("score", ascending=False, kind="stable")
        columns[Path(folder).name] = list(found.sequence[:100])
    rarest = {name: [rarest_of(smiles, counts) for smiles in molecules] for name, molecules in columns.items()}
    print("| at least | neighbourhoods | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 2) + "|")
    for least in LEAST:
        refused = [f"{sum(count < least for count in values) / len(values):.1%}" for values in rarest.values()]
        known = sum(count >= least for count in counts.values())
        print(f"| {least} | {known:,} | " + " | ".join(refused) + " |")


def bred(molecules: Sequence[str], generations: int, random: Random) -> list[str]:
    """Return as many molecules, the children of children of some."""
    for _ in range(generations):
        children: list[str] = []
        while len(children) < len(molecules):
            child = offspring(random.choice(molecules), random.choice(molecules), random)
            children += [child] if child and "." not in child else []
        molecules = children
    return list(molecules)


def rarest_of(smiles: str, counts: Counter[int]) -> int:
    """Return how many molecules have what the rarest atom of a molecule is bound to."""
    return min((counts[found] for found in neighbourhoods(smiles)), default=1)


if __name__ == "__main__":
    main()
