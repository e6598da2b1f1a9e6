"""MOSES' distribution metrics of a SMILES policy, but the one that needs ChemNet. Prints JSON, and a table beside what is published.

    pip download --no-deps molsets
    python benchmarks/moses.py --policy smiles-policy-7M --moses molsets-0.3.1-py3-none-any.whl

Definitions: Polykovskiy et al., "Molecular Sets (MOSES)", Front. Pharmacol. 2020, from which the figures of CharRNN are too; it
learned from MOSES' training set alone, and MOSES samples 30,000 molecules. The wheel's own code does not run on an RDKit of today.
"""

import argparse
import csv
import gzip
import io
import json
import math
import zipfile
from collections import Counter
from collections.abc import Iterable

import numpy as np
from rdkit import Chem, DataStructs, rdBase
from rdkit.Chem import BRICS, rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from lobster.evaluation import sample
from lobster.model.checkpoints import find_model
from lobster.sequences import canonical_smiles

CHAR_RNN = {
    "valid": 0.975,
    "unique@1k": 1.0,
    "unique@10k": 0.999,
    "novelty": 0.842,
    "IntDiv": 0.856,
    "IntDiv2": 0.850,
    "SNN/test": 0.601,
    "SNN/testSF": 0.565,
    "Frag/test": 1.000,
    "Frag/testSF": 0.998,
    "Scaf/test": 0.924,
    "Scaf/testSF": 0.110,
}
BLOCK = 2000  # rows of a matrix of similarities


def main() -> None:
    """Sample, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="smiles-policy-7M")
    parser.add_argument("--moses", required=True, help="the wheel molsets")
    parser.add_argument("--count", type=int, default=10_000, help="samples; MOSES takes 30,000")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    disable_progress_bar()
    rdBase.DisableLog("rdApp.*")
    folder = find_model(arguments.policy)
    policy, tokenizer = (
        AutoModelForCausalLM.from_pretrained(folder, dtype="float32"),
        AutoTokenizer.from_pretrained(folder),
    )
    samples = sample(policy, tokenizer, arguments.count, seed=arguments.seed)
    canonical = [canonical_smiles(text) for text in samples]
    valid = [smiles for smiles in canonical if smiles]
    distinct = list(dict.fromkeys(valid))
    figures = {
        "valid": len(valid) / len(samples),
        "unique@1k": len(set(valid[:1000])) / len(valid[:1000]),
        "unique@10k": len(set(valid[:10_000])) / len(valid[:10_000]),
        "novelty": len(set(distinct) - set(read(arguments.moses, "train"))) / len(distinct),
    }
    mols = [Chem.MolFromSmiles(smiles) for smiles in valid]
    prints = fingerprints(mols)
    rows = [np.stack([block.mean(axis=1), np.sqrt((block**2).mean(axis=1))]) for block in similarities(prints, prints)]
    figures |= dict(zip(("IntDiv", "IntDiv2"), 1 - np.concatenate(rows, axis=1).mean(axis=1), strict=True))
    fragments, rings = Counter(pieces(mols)), Counter(scaffolds(mols))
    for name, file in (("test", "test"), ("testSF", "test_scaffolds")):
        others = [Chem.MolFromSmiles(smiles) for smiles in read(arguments.moses, file)]
        nearest = [block.max(axis=1) for block in similarities(prints, fingerprints(others))]
        figures[f"SNN/{name}"] = np.concatenate(nearest).mean()
        figures[f"Frag/{name}"] = cosine(fragments, Counter(pieces(others)))
        figures[f"Scaf/{name}"] = cosine(rings, Counter(scaffolds(others)))
    print(f"| metric | {arguments.policy} ({len(samples):,} samples) | CharRNN, published |\n|---|---|---|")
    for metric, published in CHAR_RNN.items():
        print(f"| {metric} | {figures[metric]:.3f} | {published:.3f} |")
    print(json.dumps({name: round(float(value), 4) for name, value in figures.items()} | vars(arguments)))


def read(wheel: str, split: str) -> list[str]:
    """Return the SMILES of one of MOSES' sets."""
    with zipfile.ZipFile(wheel) as archive:
        text = gzip.decompress(archive.read(f"moses/dataset/data/{split}.csv.gz")).decode()
    return [row["SMILES"] for row in csv.DictReader(io.StringIO(text))]


def fingerprints(mols: Iterable[Chem.Mol]) -> np.ndarray:
    """Return Morgan fingerprints of radius 2, (molecules, 1024), 0 or 1."""
    make = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    rows = [np.frombuffer(DataStructs.BitVectToBinaryText(make.GetFingerprint(mol)), dtype=np.uint8) for mol in mols]
    return np.unpackbits(np.stack(rows), axis=1, bitorder="little")


def similarities(ones: np.ndarray, others: np.ndarray) -> Iterable[np.ndarray]:
    """Yield Tanimoto similarities of some of the ones to all others, (at most `BLOCK`, others)."""
    columns, sizes = others.T.astype(np.float32), others.sum(1, dtype=np.float32)
    for start in range(0, len(ones), BLOCK):
        block = ones[start : start + BLOCK].astype(np.float32)
        common = block @ columns
        yield common / (block.sum(1)[:, None] + sizes - common)


def pieces(mols: Iterable[Chem.Mol]) -> Iterable[str]:
    """Yield the BRICS fragments of molecules."""
    for mol in mols:
        yield from Chem.MolToSmiles(BRICS.BreakBRICSBonds(mol)).split(".")


def scaffolds(mols: Iterable[Chem.Mol]) -> Iterable[str]:
    """Yield the Murcko scaffolds of molecules, of two rings at least."""
    for mol in mols:
        scaffold = MurckoScaffold.GetScaffoldForMol(mol)
        if scaffold.GetRingInfo().NumRings() >= 2:
            yield Chem.MolToSmiles(scaffold)


def cosine(ones: Counter[str], others: Counter[str]) -> float:
    """Return the cosine similarity of two counts."""
    product = sum(count * others[name] for name, count in ones.items())
    return product / math.sqrt(sum(c * c for c in ones.values()) * sum(c * c for c in others.values()))


if __name__ == "__main__":
    main()
