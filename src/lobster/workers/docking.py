"""AutoDock Vina: how well a molecule fits a receptor."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, ClassVar

from lobster.constants import Modality


@dataclass(frozen=True)
class Docking:
    """The binding energy of a SMILES' best pose, in kcal/mol, by AutoDock Vina (Eberhardt et al., 2021): lower is better.

    Docking starts from RDKit's conformer (ETKDG, then MMFF), which meeko prepares; conformer and search have fixed seeds. One
    molecule takes one core: ``workers`` dock several at once.

    Attributes:
        receptor: A PDBQT file, such as ``mk_prepare_receptor.py`` of meeko writes.
        center: The middle of the box that is searched, x, y, z in Å.
        size: Its edges, in Å.
        exhaustiveness: How many searches there are for a molecule; the time grows with them.

    Raises:
        ModuleNotFoundError: Vina or meeko is not installed.
        FileNotFoundError: There is no such receptor.
        ValueError: The box is no box.
    """

    batch: ClassVar[bool] = False
    processes: ClassVar[bool] = True
    modalities: ClassVar[tuple[Modality, ...]] = (Modality.SMILES,)
    receptor: str
    center: Sequence[float]
    size: Sequence[float] = (20.0, 20.0, 20.0)
    exhaustiveness: int = 8

    def __post_init__(self) -> None:
        for module in ("vina", "meeko"):
            if find_spec(module) is None:
                raise ModuleNotFoundError(f"docking needs {module}: pip install 'lobster-rl[docking]'")
        if not os.path.isfile(self.receptor):
            raise FileNotFoundError(f"there is no receptor {str(self.receptor)!r}: expected a PDBQT file")
        for name, three in (("center", self.center), ("size", self.size)):
            if len(three) != 3 or not all(isinstance(value, (int, float)) for value in three):
                raise ValueError(f"{name} is {three!r}, expected three numbers in Å, along x, y and z")
        if min(self.size) <= 0:
            raise ValueError(f"size is {self.size!r}, expected numbers above 0")

    def __call__(self, smiles: str) -> float:
        """Dock a molecule.

        Raises:
            ValueError: It has no conformer, or cannot be prepared.
        """
        box = tuple(float(value) for value in (*self.center, *self.size))
        vina = _vina(os.fspath(self.receptor), box)
        vina.set_ligand_from_string(ligand(smiles))
        vina.dock(exhaustiveness=int(self.exhaustiveness), n_poses=1)
        return float(vina.energies(n_poses=1)[0][0])


def ligand(smiles: str) -> str:
    """Return a molecule as the PDBQT text that Vina reads.

    Raises:
        ValueError: It has no conformer, or meeko cannot prepare it.
    """
    from meeko import MoleculePreparation, PDBQTWriterLegacy
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if len(Chem.GetMolFrags(mol)) > 1:
        raise ValueError("it is of several parts, expected one molecule")
    if rdDistGeom.EmbedMolecule(mol, randomSeed=1) != 0:
        raise ValueError("RDKit finds no conformer")
    rdForceFieldHelpers.MMFFOptimizeMolecule(mol)
    text, done, error = PDBQTWriterLegacy.write_string(MoleculePreparation().prepare(mol)[0])
    if not done:
        raise ValueError(f"meeko cannot prepare it: {error}")
    return text


@lru_cache(maxsize=1)
def _vina(receptor: str, box: Sequence[float]) -> Any:
    """Return Vina with the maps of a receptor, which take longer than many a molecule."""
    from vina import Vina

    vina = Vina(sf_name="vina", cpu=1, seed=1, verbosity=0)
    vina.set_receptor(receptor)
    vina.compute_vina_maps(center=list(box[:3]), box_size=list(box[3:]))
    return vina
