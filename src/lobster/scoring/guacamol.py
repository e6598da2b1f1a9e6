"""Objectives that optimisers of molecules are compared on: those of GuacaMol that the PMO benchmark takes, each of a SMILES.

Definitions: Brown et al., "GuacaMol: Benchmarking Models for de Novo Molecular Design", J. Chem. Inf. Model. 2019; the choice, and
isomers by the geometric mean: Gao et al., "Sample Efficiency Matters", NeurIPS 2022. Any of them is a component of a score:
``kind: lobster.scoring.guacamol.perindopril_mpo``.
"""

import math
import re
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import Descriptors, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.Pharm2D import Gobbi_Pharm2D

from lobster.scoring.molecules import qed
from lobster.sequences.chemistry import molecule

Part = Callable[[Any], float]  # from RDKit's molecule to a worth in [0, 1]

_ALBUTEROL = "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1"
_AMLODIPINE = r"Clc1ccccc1C2C(=C(/N/C(=C2/C(=O)OCC)COCCN)C)\C(=O)OC"
_CAMPHOR = "CC1(C)C2CCC1(C)C(=O)C2"
_CELECOXIB = "CC1=CC=C(C=C1)C1=CC(=NN1C1=CC=C(C=C1)S(N)(=O)=O)C(F)(F)F"
_FEXOFENADINE = "CC(C)(C(=O)O)c1ccc(cc1)C(O)CCCN2CCC(CC2)C(O)(c3ccccc3)c4ccccc4"
_HOP = "CCCOc1cc2ncnc(Nc3ccc4ncsc4c3)c2cc1S(=O)(=O)C(C)(C)C"
_MENTHOL = "CC(C)C1CCC(C)CC1O"
_MESTRANOL = "COc1ccc2[C@H]3CC[C@@]4(C)[C@@H](CC[C@@]4(O)C#C)[C@@H]3CCc2c1"
_OSIMERTINIB = "COc1cc(N(C)CCN(C)C)c(NC(=O)C=C)cc1Nc2nccc(n2)c3cn(C)c4ccccc34"
_PERINDOPRIL = "O=C(OCC)C(NC(C(=O)N1C(C(=O)O)CC2CCCCC12)C)CCC"
_RANOLAZINE = "COc1ccccc1OCC(O)CN2CCN(CC(=O)Nc3c(C)cccc3C)CC2"
_SILDENAFIL = "CCCC1=NN(C2=C1N=C(NC2=O)C3=C(C=CC(=C3)S(=O)(=O)N4CCN(CC4)C)OCC)C"
_SITAGLIPTIN = "Fc1cc(c(F)cc1F)CC(N)CC(=O)N3Cc2nnc(n2CC3)C(F)(F)F"
_TADALAFIL = "O=C1N(CC(N2C1CC3=C(C2C4=CC5=C(OCO5)C=C4)NC6=C3C=CC=C6)=O)C"
_THIOTHIXENE = "CN(C)S(=O)(=O)c1ccc2Sc3ccccc3C(=CCCN4CCN(C)CC4)c2c1"
_TROGLITAZONE = "Cc1c(C)c2OC(C)(COc3ccc(CC4SC(=O)NC4=O)cc3)CCc2c(C)c1O"
_ZALEPLON = "O=C(C)N(CC)C1=CC=CC(C2=CC=NC3=C(C=NN23)C#N)=C1"
_QUINAZOLINE = "[#7]-c1n[c;h1]nc2[c;h1]c(-[#8])[c;h0][c;h1]c12"


def albuterol_similarity(smiles: str) -> float:
    """Similarity to albuterol in its features (FCFP4), full from 0.75."""
    return _like(_ALBUTEROL, "FCFP4", 0.75)(molecule(smiles))


def amlodipine_mpo(smiles: str) -> float:
    """Similarity to amlodipine, with three rings."""
    rings = _near(rdMolDescriptors.CalcNumRings, 3, 0.5)
    return _geometric(smiles, _like(_AMLODIPINE), rings)


def celecoxib_rediscovery(smiles: str) -> float:
    """Similarity to celecoxib."""
    return _like(_CELECOXIB)(molecule(smiles))


def deco_hop(smiles: str) -> float:
    """The pharmacophore and the scaffold of a kinase inhibitor without its decorations."""
    without = [_has("CS([#6])(=O)=O", False), _has("[#7]-c1ccc2ncsc2c1", False)]
    return _arithmetic(smiles, _like(_HOP, "PHCO", 0.85), *without, _has(_QUINAZOLINE))


def fexofenadine_mpo(smiles: str) -> float:
    """Similarity to fexofenadine in its atom pairs, more polar and less greasy."""
    return _geometric(
        smiles, _like(_FEXOFENADINE, "AP", 0.8), _above(rdMolDescriptors.CalcTPSA, 90, 10), _below(_logp, 4, 1)
    )


def isomers_c7h8n2o2(smiles: str) -> float:
    """The formula C7H8N2O2."""
    return _isomer("C7H8N2O2")(molecule(smiles))


def isomers_c9h10n2o2pf2cl(smiles: str) -> float:
    """The formula C9H10N2O2PF2Cl."""
    return _isomer("C9H10N2O2PF2Cl")(molecule(smiles))


def median1(smiles: str) -> float:
    """Similarity to both camphor and menthol."""
    return _geometric(smiles, _like(_MENTHOL), _like(_CAMPHOR))


def median2(smiles: str) -> float:
    """Similarity to both tadalafil and sildenafil (ECFP6)."""
    return _geometric(smiles, _like(_TADALAFIL, "ECFP6"), _like(_SILDENAFIL, "ECFP6"))


def mestranol_similarity(smiles: str) -> float:
    """Similarity to mestranol in its atom pairs, full from 0.75."""
    return _like(_MESTRANOL, "AP", 0.75)(molecule(smiles))


def osimertinib_mpo(smiles: str) -> float:
    """Similarity to osimertinib in its features, not too much in its atoms; more polar, less greasy."""
    like, unlike = _like(_OSIMERTINIB, "FCFP4", 0.8), _below(_similarity(_OSIMERTINIB, "ECFP6"), 0.85, 0.1)
    return _geometric(smiles, like, unlike, _above(rdMolDescriptors.CalcTPSA, 100, 10), _below(_logp, 1, 1))


def perindopril_mpo(smiles: str) -> float:
    """Similarity to perindopril, with two aromatic rings."""
    return _geometric(smiles, _like(_PERINDOPRIL), _near(rdMolDescriptors.CalcNumAromaticRings, 2, 0.5))


def ranolazine_mpo(smiles: str) -> float:
    """Similarity to ranolazine in its atom pairs, greasier, more polar, with a fluorine."""
    like, fluorine = _like(_RANOLAZINE, "AP", 0.7), _near(_count("F"), 1, 1)
    return _geometric(smiles, like, _above(_logp, 7, 1), fluorine, _above(rdMolDescriptors.CalcTPSA, 95, 20))


def scaffold_hop(smiles: str) -> float:
    """The pharmacophore and the decorations of a kinase inhibitor without its scaffold."""
    decoration = _has("[#6]-[#6]-[#6]-[#8]-[#6]~[#6]~[#6]~[#6]~[#6]-[#7]-c1ccc2ncsc2c1")
    return _arithmetic(smiles, _like(_HOP, "PHCO", 0.75), decoration, _has(_QUINAZOLINE, False))


def sitagliptin_mpo(smiles: str) -> float:
    """The formula, logP and polar surface of sitagliptin, in a molecule unlike it."""
    unlike = _near(_similarity(_SITAGLIPTIN, "ECFP4"), 0, 0.1)
    return _geometric(smiles, unlike, *_as_sitagliptin(), _isomer("C16H15F6N5O"))


def thiothixene_rediscovery(smiles: str) -> float:
    """Similarity to thiothixene."""
    return _like(_THIOTHIXENE)(molecule(smiles))


def troglitazone_rediscovery(smiles: str) -> float:
    """Similarity to troglitazone."""
    return _like(_TROGLITAZONE)(molecule(smiles))


def valsartan_smarts(smiles: str) -> float:
    """A substructure of valsartan, with the logP, polar surface and complexity of sitagliptin."""
    complexity = _near(Descriptors.BertzCT, Descriptors.BertzCT(molecule(_SITAGLIPTIN)), 30)
    return _geometric(smiles, _has("CN(C=O)Cc1ccc(c2ccccc2)cc1"), *_as_sitagliptin(), complexity)


def zaleplon_mpo(smiles: str) -> float:
    """Similarity to zaleplon, with the formula C19H17N3O2."""
    return _geometric(smiles, _like(_ZALEPLON), _isomer("C19H17N3O2"))


OBJECTIVES: dict[str, Callable[[str], float]] = {
    f.__name__: f
    for f in (
        *(albuterol_similarity, amlodipine_mpo, celecoxib_rediscovery, deco_hop, fexofenadine_mpo, isomers_c7h8n2o2),
        *(isomers_c9h10n2o2pf2cl, median1, median2, mestranol_similarity, osimertinib_mpo, perindopril_mpo, qed),
        *(ranolazine_mpo, scaffold_hop, sitagliptin_mpo, thiothixene_rediscovery, troglitazone_rediscovery),
        *(valsartan_smarts, zaleplon_mpo),
    )
}


def _geometric(smiles: str, *parts: Part) -> float:
    mol = molecule(smiles)
    return math.prod(part(mol) for part in parts) ** (1 / len(parts))


def _arithmetic(smiles: str, *parts: Part) -> float:
    mol = molecule(smiles)
    return sum(part(mol) for part in parts) / len(parts)


def _near(measure: Part, mean: float, deviation: float) -> Part:
    """A Gaussian."""
    return lambda mol: math.exp(-(((measure(mol) - mean) / deviation) ** 2) / 2)


def _above(measure: Part, low: float, deviation: float) -> Part:
    """1 from ``low`` on, a Gaussian below."""
    return _near(lambda mol: min(measure(mol), low), low, deviation)


def _below(measure: Part, high: float, deviation: float) -> Part:
    """1 up to ``high``, a Gaussian above."""
    return _near(lambda mol: max(measure(mol), high), high, deviation)


@cache
def _like(target: str, fingerprint: str = "ECFP4", full: float = 1.0) -> Part:
    """Similarity to a molecule, as a share of one that is enough."""
    similar = _similarity(target, fingerprint)
    return lambda mol: min(1.0, similar(mol) / full)


@cache
def _similarity(target: str, fingerprint: str) -> Part:
    """Tanimoto similarity to a molecule, of counts where the fingerprint has them."""
    find = _fingerprints()[fingerprint]
    wanted = find(molecule(target))
    return lambda mol: DataStructs.TanimotoSimilarity(find(mol), wanted)


@cache
def _fingerprints() -> dict[str, Callable[[Any], Any]]:
    features = rdFingerprintGenerator.GetMorganFeatureAtomInvGen()
    morgan = rdFingerprintGenerator.GetMorganGenerator
    return {
        "ECFP4": morgan(radius=2).GetSparseCountFingerprint,
        "ECFP6": morgan(radius=3).GetSparseCountFingerprint,
        "FCFP4": morgan(radius=2, atomInvariantsGenerator=features).GetSparseCountFingerprint,
        "AP": rdFingerprintGenerator.GetAtomPairGenerator(maxDistance=10).GetSparseCountFingerprint,
        "PHCO": _pharmacophores,
    }


def _pharmacophores(mol: Any) -> Any:
    """Pairs and triples of features with their distances (Gobbi and Poppinger, Biotechnol. Bioeng. 1998).

    The bits of RDKit's `Gen2DFingerprint`, which looks one up for every pair and triple of atoms: here, one for all that are alike.
    """
    families = Gobbi_Pharm2D.factory.GetMolFeats(mol)
    points = [(family, atom) for family, matches in enumerate(families) for (atom,) in sorted(matches)]
    (nearest, _), *_, (far, farthest) = Gobbi_Pharm2D.factory.GetBins()
    bonds = Chem.GetDistanceMatrix(mol).astype(int)
    apart = np.where((nearest <= bonds) & (bonds < farthest), bonds.clip(max=far), 0).tolist()
    pairs = {((f, g), (apart[a][b],)) for (f, a), (g, b) in combinations(points, 2)}
    triples = {
        ((f, g, h), (apart[a][b], apart[a][c], apart[b][c])) for (f, a), (g, b), (h, c) in combinations(points, 3)
    }
    fingerprint = Gobbi_Pharm2D.factory.GetSignature()
    fingerprint.SetBitsFromList([_bit(*one) for alike in (pairs, triples) for one in alike if 0 not in one[1]])
    return fingerprint


@lru_cache(maxsize=1 << 16)
def _bit(families: tuple[int, ...], distances: tuple[int, ...]) -> int:
    return Gobbi_Pharm2D.factory.GetBitIdx(families, distances, sortIndices=False)


@cache
def _has(smarts: str, wanted: bool = True) -> Part:
    """1 where a pattern is there as it should or should not be."""
    pattern = Chem.MolFromSmarts(smarts)
    return lambda mol: float(mol.HasSubstructMatch(pattern) is wanted)


@cache
def _isomer(formula: str) -> Part:
    """Closeness to a formula: the geometric mean over each element's atoms and all atoms."""
    wanted = {element: int(count or 1) for element, count in re.findall(r"([A-Z][a-z]?)(\d*)", formula)}
    parts = [_near(_count(element), count, 1) for element, count in wanted.items()]
    parts.append(_near(_atoms, sum(wanted.values()), 2))
    return lambda mol: math.prod(part(mol) for part in parts) ** (1 / len(parts))


def _count(element: str) -> Part:
    if element == "H":
        return lambda mol: _atoms(mol) - sum(atom.GetAtomicNum() != 1 for atom in mol.GetAtoms())
    return lambda mol: sum(atom.GetSymbol() == element for atom in mol.GetAtoms())


def _atoms(mol: Any) -> int:
    return mol.GetNumAtoms(onlyExplicit=False)


def _logp(mol: Any) -> float:
    return rdMolDescriptors.CalcCrippenDescriptors(mol)[0]


@cache
def _as_sitagliptin() -> list[Part]:
    target = molecule(_SITAGLIPTIN)
    return [_near(_logp, _logp(target), 0.2), _near(rdMolDescriptors.CalcTPSA, rdMolDescriptors.CalcTPSA(target), 5)]
