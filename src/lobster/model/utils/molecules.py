"""What is needed of RDKit to read a SMILES: one place that imports it and silences its log."""

from typing import Any

# RDKit's time grows faster than the length: 4,000 characters took up to 0.4 s, a million would take hours.
MAX_SMILES_CHARACTERS = 4000


def parse_smiles(text: str) -> tuple[Any, str] | None:
    """Return RDKit's molecule and its canonical isomeric SMILES, or None where ``text`` does not describe one.

    The whole text must be SMILES: RDKit would take what follows a blank for a name, so blanks are refused, and so is a
    text of more than `MAX_SMILES_CHARACTERS`.
    """
    if not 0 < len(text) <= MAX_SMILES_CHARACTERS or not text.isascii() or not text.isprintable() or " " in text:
        return None
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        try:
            molecule = Chem.MolFromSmiles(text)
            canonical = Chem.MolToSmiles(molecule) if molecule is not None else ""
        except RuntimeError:  # RDKit's own invariants, on hostile input
            return None
    return (molecule, canonical) if canonical else None


def canonical_smiles(text: str) -> str | None:
    """Return the canonical SMILES that `parse_smiles` finds, or None.

    >>> canonical_smiles("OCC"), canonical_smiles("C1CC"), canonical_smiles("CCO ethanol")
    ('CCO', None, None)
    """
    parsed = parse_smiles(text)
    return parsed[1] if parsed else None
