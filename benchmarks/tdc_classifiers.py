"""What TDC's classifiers say of molecules: the probability that they are active at DRD2, GSK3β or JNK3. `pmo.py --tdc` calls it.

    PYTHON benchmarks/tdc_classifiers.py jnk3 FOLDER molecules.txt values.csv

FOLDER is where the user's PyTDC keeps what it downloads (`oracle`); PYTHON is of an environment whose scikit-learn reads those files:
1.0 to 1.2, with RDKit 2022.03 or later. Nothing else is needed there, not this library either. Features: of GSK3β and JNK3 the bits of
Morgan fingerprints of radius 2; of DRD2 counts of feature environments up to radius 3; both folded to 2,048 (Olivecrona et al., J.
Cheminform. 9, 2017; Li et al., J. Cheminform. 10, 2018; Huang et al., "Therapeutics Data Commons", NeurIPS 2021).
"""

import pickle
import sys
from pathlib import Path

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator as generators

SIZE = 2048


def features(name, smiles):
    """Return what a classifier reads of molecules, molecules x 2,048."""
    molecules = [Chem.MolFromSmiles(text) for text in smiles]
    if name != "drd2":
        morgan = generators.GetMorganGenerator(radius=2, fpSize=SIZE)
        return np.stack([morgan.GetFingerprintAsNumPy(molecule) for molecule in molecules])
    pharmacophores = generators.GetMorganFeatureAtomInvGen()
    morgan = generators.GetMorganGenerator(radius=3, atomInvariantsGenerator=pharmacophores)
    rows = np.zeros((len(molecules), SIZE), dtype=np.int32)
    for row, molecule in enumerate(molecules):
        for environment, count in morgan.GetSparseCountFingerprint(molecule).GetNonzeroElements().items():
            rows[row, environment % SIZE] += count
    return rows


def main(name, folder, molecules, values):
    """Read molecules, a SMILES a line, and write a table of probabilities in their order."""
    files = [Path(folder) / f"{name}{version}.pkl" for version in ("_current", "")]
    found = [file for file in files if file.exists()]
    if not found:
        raise SystemExit(f"{folder} has no {files[0].name}: expected the folder in which PyTDC keeps it")
    classifier = pickle.loads(found[0].read_bytes())
    active = classifier.predict_proba(features(name, Path(molecules).read_text().split()))[:, 1]
    Path(values).write_text("\n".join(["value", *map(repr, map(float, active))]) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
