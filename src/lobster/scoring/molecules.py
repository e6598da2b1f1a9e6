"""Properties of small molecules, of a canonical SMILES each; RDKit's."""

import os
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

from lobster.sequences import environments, read_sequences
from lobster.sequences.chemistry import fingerprint, molecule, unlabelled


def qed(smiles: str) -> float:
    """Quantitative estimate of drug-likeness, in [0, 1] (Bickerton et al., 2012); 0 far outside of its curves."""
    from rdkit import rdBase
    from rdkit.Chem import QED

    with rdBase.BlockLogs():
        try:
            return QED.qed(molecule(unlabelled(smiles)))
        except OverflowError:  # exp of a molecular weight of 20,000
            return 0.0


def sa_score(smiles: str) -> float:
    """Synthetic accessibility, from 1 (easy) to 10 (Ertl and Schuffenhauer, 2009), whatever the isotopes.

    >>> round(sa_score("[2H]c1c([2H])c([2H])c([2H])c([2H])c1[2H]"), 3) == round(sa_score("c1ccccc1"), 3)
    True
    """
    from rdkit.Contrib.SA_Score import sascorer

    return sascorer.calculateScore(molecule(unlabelled(smiles)))


def logp(smiles: str) -> float:
    """Octanol-water partition coefficient, log10 (Wildman and Crippen, 1999)."""
    from rdkit.Chem import rdMolDescriptors

    return rdMolDescriptors.CalcCrippenDescriptors(molecule(unlabelled(smiles)))[0]


def molecular_weight(smiles: str) -> float:
    """Mean molecular weight in g/mol."""
    from rdkit.Chem import rdMolDescriptors

    return rdMolDescriptors._CalcMolWt(molecule(smiles))


def tpsa(smiles: str) -> float:
    """Topological polar surface area in Å² (Ertl et al., 2000)."""
    from rdkit.Chem import rdMolDescriptors

    return rdMolDescriptors.CalcTPSA(molecule(unlabelled(smiles)))


def rings(smiles: str) -> float:
    """Number of rings (smallest set of smallest rings)."""
    from rdkit.Chem import rdMolDescriptors

    return float(rdMolDescriptors.CalcNumRings(molecule(smiles)))


def rotatable_bonds(smiles: str) -> float:
    """Number of rotatable bonds (RDKit's strict definition)."""
    from rdkit.Chem import rdMolDescriptors

    return float(rdMolDescriptors.CalcNumRotatableBonds(molecule(unlabelled(smiles))))


def alerts(smiles: str, catalogs: Sequence[str] = ("PAINS", "BRENK")) -> float:
    """1 for a molecule without structural alerts of RDKit's ``catalogs``, else 0 (Baell and Holloway, 2010; Brenk, 2008)."""
    return float(not alert_catalog(tuple(catalogs)).HasMatch(molecule(smiles)))


def neighbourhoods(smiles: str) -> float:
    """1 for a molecule whose atoms are all bound as in real molecules (`lobster.sequences.environments`), else 0.

    >>> neighbourhoods("CC(=O)Nc1ccc(O)cc1"), neighbourhoods("CC1=CC1ON")
    (1.0, 0.0)
    """
    return float(environments.neighbourhoods(unlabelled(smiles)) <= environments.real_neighbourhoods())


def similarity(smiles: str, references: Sequence[str]) -> float:
    """Largest Tanimoto similarity to the references, Morgan radius 2, 2,048 bits.

    Each reference is a SMILES or a file of them (`read_sequences`), which is read anew when it has changed.
    """
    from rdkit import DataStructs

    references = tuple(references)
    prints = _reference_fingerprints(references, file_versions(references))
    return max(DataStructs.BulkTanimotoSimilarity(fingerprint(smiles), prints))


def substructures(smiles: str, wanted: Sequence[str] = (), forbidden: Sequence[str] = ()) -> float:
    """1 where each ``wanted`` SMARTS matches and no ``forbidden`` one does, else 0."""
    mol = molecule(smiles)
    return float(
        all(mol.HasSubstructMatch(_pattern(smarts)) for smarts in wanted)
        and not any(mol.HasSubstructMatch(_pattern(smarts)) for smarts in forbidden)
    )


@cache
def alert_catalog(names: tuple[str, ...]) -> Any:
    """Return RDKit's catalogue of the structural alerts of some of its catalogues."""
    from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

    known = FilterCatalogParams.FilterCatalogs.names
    parameters = FilterCatalogParams()
    for name in names:
        if name not in known:
            raise ValueError(f"catalogue {name!r} is unknown: expected one of {', '.join(sorted(known))}")
        parameters.AddCatalog(known[name])
    if not names:
        raise ValueError("catalogs is empty: name one, such as PAINS")
    return FilterCatalog(parameters)


@lru_cache(maxsize=16)
def _reference_fingerprints(references: tuple[str, ...], versions: tuple[Any, ...]) -> list[Any]:
    if not references:
        raise ValueError("references is empty: expected SMILES, or a file of them")
    return [found for reference in references for found in _fingerprints(reference)]


def _fingerprints(reference: str) -> Iterator[Any]:
    in_file = os.path.isfile(reference)
    for smiles in read_sequences(reference) if in_file else [reference]:
        try:
            yield fingerprint(smiles)
        except ValueError as error:
            where = (
                f"line {smiles!r} of {reference} is not"
                if in_file
                else f"reference {reference!r} is neither a file nor"
            )
            raise ValueError(f"{where} a SMILES that RDKit can parse") from error


def file_versions(texts: tuple[str, ...]) -> tuple[tuple[int, int] | None, ...]:
    """Return when each file among some texts last changed, in ns, and its size in bytes; None where it is gone."""
    return tuple(map(_version, _files_among(texts)))


@lru_cache(maxsize=64)
def _files_among(texts: tuple[str, ...]) -> list[str]:
    return [text for text in texts if os.path.isfile(text)]


def _version(file: str) -> tuple[int, int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@cache
def _pattern(smarts: str) -> Any:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        pattern = Chem.MolFromSmarts(smarts)
    if pattern is None:
        raise ValueError(f"{smarts!r} is not a SMARTS that RDKit can parse")
    return pattern
