"""What is needed of RDKit to read a SMILES: one place that imports it and silences its log."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from typing import Any

# RDKit's time grows faster than the length: 4,000 characters took up to 0.5 s, a million would take hours.
MAX_SMILES_CHARACTERS = 4000
# Scaffolds and identities of larger molecules are not looked for: a chain of 4,000 atoms at a ring took RDKit over a
# minute.
MAX_ATOMS = 256
# Of 25,000 mutated and 112,000 real molecules none took more than two to come to rest; cycles are of two.
_MAX_ROUNDS = 8
# 5 ms for a drug-like molecule, 0.2 s at worst; 4 % of drug-like molecules have more.
_MAX_TAUTOMERS = 100

IDENTITIES = ("exact", "parent", "tautomer", "connectivity")

# Isotopes, atom maps and hydrogens that are atoms of their own.
_LABELS = re.compile(r"\[(\d|#|H(?![a-z])|[^\]]*:)")
_DIHYDROGEN = re.compile(r"\[(\d*)HH\]")
# Once maps are gone, what is left of these are bonds of no known order, and aromatic ones between atoms that are not.
_NO_BOND = frozenset("~:")


@dataclass(frozen=True)
class SmilesOptions:
    """What makes a SMILES another molecule, or none.

    Attributes:
        isotopes: Whether isotopes make another molecule; else they are dropped.
        attachment_points: Whether open attachment points (``*``) are allowed; else what has them is no molecule.
    """

    isotopes: bool = False
    attachment_points: bool = False

    @classmethod
    def of(cls, options: "SmilesOptions | Mapping[str, bool] | None") -> "SmilesOptions":
        """Return options of a mapping, ``{"isotopes": True}``; the defaults for None.

        Raises:
            ValueError: A key is unknown, or a value is neither True nor False.
        """
        if isinstance(options, SmilesOptions):
            return options
        known = [field.name for field in fields(cls)]
        for name, value in (options or {}).items():
            if name not in known or not isinstance(value, bool):
                raise ValueError(f"smiles_options has {name}={value!r}: expected True or False for {', '.join(known)}")
        return cls(**(options or {}))


_DEFAULTS = SmilesOptions()


@lru_cache(maxsize=8192)
def parse_smiles(text: str) -> Any | None:
    """Return RDKit's molecule, or None where ``text`` does not describe one. It is shared: copy it before changing it.

    The whole text must be SMILES: RDKit would take what follows a blank for a name, so blanks are refused, and so is a
    text of more than `MAX_SMILES_CHARACTERS`.
    """
    if not 0 < len(text) <= MAX_SMILES_CHARACTERS or not text.isascii() or not text.isprintable() or " " in text:
        return None
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        try:
            found = Chem.MolFromSmiles(text)
        except RuntimeError:  # RDKit's own invariants, on hostile input
            return None
    return found if found is not None and found.GetNumAtoms() else None


@lru_cache(maxsize=8192)
def canonical_smiles(text: str, options: SmilesOptions = _DEFAULTS) -> str | None:
    """Return the one SMILES that stands for a molecule, or None where ``text``, stripped of blanks, describes none.

    It is RDKit's canonical isomeric SMILES without atom maps, isotopes and hydrogens that are atoms of their own, read
    and written again until nothing changes; of a cycle the smallest. The configuration of a double bond that a hydrogen
    alone defines goes with it: of ``[H]/C=C/C`` it means nothing, and an N–H imine's is not kept by the molecule
    either. What RDKit does not read again is no molecule, nor is what has open attachment points, bonds of no known
    order (``~``), or aromatic bonds between atoms that are not aromatic.

    >>> canonical_smiles("OCC"), canonical_smiles("C1CC"), canonical_smiles("CCO ethanol")
    ('CCO', None, None)
    >>> canonical_smiles("[2H]C([CH3:1])O"), canonical_smiles("[H]/C=C/C"), canonical_smiles("*CC")
    ('CCO', 'C=CC', None)
    >>> canonical_smiles("[2H]C", SmilesOptions(isotopes=True))
    '[2H]C'
    """
    text, rounds = text.strip(), list[str]()
    while text not in rounds:
        rounds.append(text)
        written = _rewrite(text, options) if len(rounds) <= _MAX_ROUNDS else None
        if written is None:
            return None
        text = written
    return min(rounds[rounds.index(text) :])


def _rewrite(text: str, options: SmilesOptions) -> str | None:
    """Read a SMILES and write it, once."""
    mol = parse_smiles(text)
    if mol is None:
        return None
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        try:
            written = Chem.MolToSmiles(_without_labels(mol, options.isotopes) if _LABELS.search(text) else mol)
        except (RuntimeError, ValueError):  # its invariants, and what is no molecule without its hydrogens
            return None
    written = _DIHYDROGEN.sub(r"[\1H][H]", written)
    if not written or _NO_BOND.intersection(written) or ("*" in written and not options.attachment_points):
        return None
    return written


def _without_labels(mol: Any, isotopes: bool) -> Any:
    """Return a copy without atom maps, isotopes (an attachment point's always) and needless hydrogens."""
    from rdkit import Chem

    mol = Chem.Mol(mol)
    for atom in mol.GetAtoms():
        atom.ClearProp("molAtomMapNumber")
        if atom.GetAtomicNum() == 0 or not isotopes:
            atom.SetIsotope(0)
    parameters: Any = Chem.RemoveHsParameters()
    parameters.removeDefiningBondStereo = True
    mol = Chem.RemoveHs(mol, parameters)
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    return mol


def rdkit_seed(seed: int) -> int:
    """Return a seed that RDKit takes, of any whole number: 0 is none to it, and it knows 31 bits."""
    return seed % (2**31 - 1) + 1


def random_spelling(smiles: str, seed: int = 0) -> str:
    """Return a SMILES of the same molecule that starts at a random atom and walks at random; itself, of what is none.

    >>> {canonical_smiles(random_spelling("Cc1ccccc1O", seed)) for seed in range(9)}
    {'Cc1ccccc1O'}
    """
    mol = parse_smiles(smiles)
    if mol is None:
        return smiles
    from rdkit import Chem

    return Chem.MolToRandomSmilesVect(mol, 1, randomSeed=rdkit_seed(seed))[0]


def unlabelled(smiles: str) -> str:
    """Return a SMILES without isotopes, atom maps and explicit hydrogens, for measures that they would mislead."""
    if not _LABELS.search(smiles):
        return smiles
    return canonical_smiles(smiles, SmilesOptions(attachment_points=True)) or smiles


def molecule(smiles: str) -> Any:
    """Return RDKit's molecule; parsed once for all that ask in a row.

    Raises:
        ValueError: RDKit cannot parse it.
    """
    parsed = parse_smiles(smiles)
    if parsed is None:
        raise ValueError(f"{smiles[:60]!r} is not a SMILES that RDKit can parse")
    return parsed


def fingerprint(smiles: str) -> Any:
    """Return the Morgan fingerprint of radius 2 (2,048 bits), whatever the isotopes."""
    return _generator().GetFingerprint(molecule(unlabelled(smiles)))


def murcko_scaffold(smiles: str, generic: bool = False) -> str:
    """Return the Bemis-Murcko scaffold as SMILES without stereo, empty for a molecule without rings.

    Where RDKit finds none (atoms or bonds that its rules do not foresee, or more than `MAX_ATOMS` atoms), the molecule
    stands for itself.

    Args:
        smiles: A SMILES.
        generic: All atoms carbon, all bonds single ("graph framework"; Bemis and Murcko, 1996).

    Raises:
        ValueError: RDKit cannot parse the SMILES.

    >>> murcko_scaffold("CCOc1ccccc1C(=O)O"), murcko_scaffold("CCO"), murcko_scaffold("Cc1ccncc1", generic=True)
    ('c1ccccc1', '', 'C1CCCCC1')
    >>> murcko_scaffold("[Pt]<-[o]1cccc1")
    '[Pt]<-[o]1cccc1'
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem.Scaffolds import MurckoScaffold

    mol = molecule(smiles)
    if not mol.GetRingInfo().NumRings():
        return ""
    if mol.GetNumAtoms() > MAX_ATOMS:
        return smiles
    with rdBase.BlockLogs():
        try:
            scaffold = MurckoScaffold.GetScaffoldForMol(mol)
            if generic:
                # What was a double bond to an atom outside the rings is a side chain now.
                scaffold = MurckoScaffold.GetScaffoldForMol(MurckoScaffold.MakeScaffoldGeneric(scaffold))
            return Chem.MolToSmiles(scaffold, isomericSmiles=False)
        except Exception:  # whatever RDKit raises: on one process of several it would leave the others waiting
            return smiles


@lru_cache(maxsize=8192)
def identity_key(smiles: str, identity: str = "exact") -> str:
    """Return what the molecules have in common that count as the same under an identity (RDKit's MolStandardize).

    A molecule that cannot be standardised, or has more than `MAX_ATOMS` atoms, is the same as itself alone. Of a
    molecule with more than a hundred tautomers some may count as others.

    Args:
        smiles: A canonical SMILES.
        identity: ``exact``, this SMILES; ``parent``, without salts, solvents and charge; ``tautomer``, whichever
            tautomer of the parent; ``connectivity``, and whichever stereoisomer.

    >>> salt, acid = "CC(=O)Oc1ccccc1C(=O)[O-].[Na+]", "CC(=O)Oc1ccccc1C(=O)O"
    >>> identity_key(salt) == identity_key(acid), identity_key(salt, "parent") == identity_key(acid, "parent")
    (False, True)
    >>> identity_key("O=c1cccc[nH]1", "tautomer") == identity_key("Oc1ccccn1", "tautomer")
    True
    """
    mol = parse_smiles(smiles) if identity != "exact" else None
    if mol is None or mol.GetNumAtoms() > MAX_ATOMS:
        return smiles
    from rdkit import Chem, rdBase
    from rdkit.Chem.MolStandardize import rdMolStandardize

    with rdBase.BlockLogs():
        try:
            mol = rdMolStandardize.ChargeParent(mol)
            if identity == "connectivity":
                Chem.RemoveStereochemistry(mol)
            if identity != "parent":
                mol = _tautomers().Canonicalize(mol)
            # The canonical tautomer may have stereo marks that its own bonds do not need.
            return canonical_smiles(Chem.MolToSmiles(mol, isomericSmiles=identity != "connectivity")) or smiles
        except Exception:
            return smiles


@cache
def _tautomers() -> Any:
    from rdkit.Chem.MolStandardize import rdMolStandardize

    enumerator = rdMolStandardize.TautomerEnumerator()
    enumerator.SetMaxTautomers(_MAX_TAUTOMERS)
    enumerator.SetMaxTransforms(_MAX_TAUTOMERS)
    enumerator.SetRemoveSp3Stereo(False)  # an acid's centre beside its carboxyl stays one
    return enumerator


@cache
def _generator() -> Any:
    from rdkit.Chem import rdFingerprintGenerator

    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
