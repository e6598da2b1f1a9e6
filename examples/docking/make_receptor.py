"""Write receptor.pdbqt, a toy: a peptide of twelve residues as RDKit folds it, with a cleft that is nobody's target.

    python make_receptor.py

For a real one: ``mk_prepare_receptor.py --read_pdb protein.pdb -o receptor -p`` of meeko, which keeps its atoms where they are.
"""

from pathlib import Path

from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers, rdPartialCharges

PEPTIDE = "WFGEHKYFGDSR"


def atom_type(atom: Chem.Atom) -> str | None:
    """Return the AutoDock type of an atom; None for a hydrogen at a carbon, which counts as part of it."""
    if atom.GetSymbol() == "H":
        return None if atom.GetNeighbors()[0].GetSymbol() == "C" else "HD"
    if atom.GetSymbol() == "C":
        return "A" if atom.GetIsAromatic() else "C"
    accepts = atom.GetSymbol() == "O" or (
        atom.GetSymbol() == "N" and atom.GetIsAromatic() and not atom.GetTotalNumHs(True)
    )
    return atom.GetSymbol() + ("A" if accepts else "")


def main() -> None:
    """Fold the peptide and write its atoms."""
    mol = Chem.AddHs(Chem.MolFromSequence(PEPTIDE), addResidueInfo=True)
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed, parameters.useRandomCoords = 7, True
    rdDistGeom.EmbedMolecule(mol, parameters)
    rdForceFieldHelpers.MMFFOptimizeMolecule(mol)
    rdPartialCharges.ComputeGasteigerCharges(mol)
    lines = ["REMARK  A toy: a peptide as RDKit folds it, no protein of nature"]
    for atom in mol.GetAtoms():
        if (kind := atom_type(atom)) is None:
            continue
        residue, place = atom.GetPDBResidueInfo(), mol.GetConformer().GetAtomPosition(atom.GetIdx())
        lines.append(
            f"ATOM  {len(lines):5d} {residue.GetName():4s} {residue.GetResidueName():3s} A{residue.GetResidueNumber():4d}    "
            f"{place.x:8.3f}{place.y:8.3f}{place.z:8.3f}  1.00  0.00    {atom.GetDoubleProp('_GasteigerCharge'):6.3f} {kind}"
        )
    Path(__file__).with_name("receptor.pdbqt").write_text("\n".join([*lines, "TER", ""]))


if __name__ == "__main__":
    main()
