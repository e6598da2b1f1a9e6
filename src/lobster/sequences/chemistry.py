"""What is needed of RDKit to read a SMILES: one place that imports it and silences its log."""

from functools import cache, lru_cache
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


@lru_cache(maxsize=4096)
def molecule(smiles: str) -> Any:
    """Return RDKit's molecule; parsed once for all that ask in a row.

    Raises:
        ValueError: RDKit cannot parse it.
    """
    parsed = parse_smiles(smiles)
    if parsed is None:
        raise ValueError(f"{smiles!r} is not a SMILES that RDKit can parse")
    return parsed[0]


def fingerprint(smiles: str) -> Any:
    """Return the Morgan fingerprint of radius 2 (2,048 bits)."""
    return _generator().GetFingerprint(molecule(smiles))


def murcko_scaffold(smiles: str, generic: bool = False) -> str:
    """Return the Bemis-Murcko scaffold as SMILES without stereo, empty for a molecule without rings.

    Args:
        smiles: A SMILES.
        generic: All atoms carbon, all bonds single ("graph framework"; Bemis and Murcko, 1996).

    >>> murcko_scaffold("CCOc1ccccc1C(=O)O"), murcko_scaffold("CCO"), murcko_scaffold("Cc1ccncc1", generic=True)
    ('c1ccccc1', '', 'C1CCCCC1')
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem.Scaffolds import MurckoScaffold

    with rdBase.BlockLogs():
        scaffold = MurckoScaffold.GetScaffoldForMol(molecule(smiles))
        if generic:
            # What was a double bond to an atom outside the rings is a side chain now.
            scaffold = MurckoScaffold.GetScaffoldForMol(MurckoScaffold.MakeScaffoldGeneric(scaffold))
        return Chem.MolToSmiles(scaffold, isomericSmiles=False)


@cache
def _generator() -> Any:
    from rdkit.Chem import rdFingerprintGenerator

    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
