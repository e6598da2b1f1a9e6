"""Sequences as pictures: molecules drawn and letters coloured by how much they surprise an encoder."""

import re
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from lobster.constants import Modality
from lobster.installation import missing_for_drawing
from lobster.sequences.chemistry import murcko_scaffold, parse_smiles
from lobster.tokenization.vocabulary import SMILES_PATTERN

LEVELS = 6  # of surprise; 0 has no colour
# Surprise −log p in parts of that of a guess among equally likely tokens: where a level begins.
_BOUNDS = (0.25, 0.55, 0.85, 1.05, 1.25)
_GUESS = {Modality.SMILES: np.log(11), Modality.AMINO_ACID: np.log(20), Modality.NUCLEOTIDE: np.log(4)}
_TOKEN = re.compile(SMILES_PATTERN)
_SIZE = (230, 165)  # px
_BLACK = "#000000"


def surprise_levels(log_probabilities: np.ndarray, modality: Modality) -> list[int]:
    """Return how surprising tokens are, from 0 to `LEVELS` − 1: 3 is as by a guess.

    >>> surprise_levels(np.log([0.99, 0.05, 0.01]), Modality.AMINO_ACID)
    [0, 3, 5]
    """
    return np.searchsorted(_BOUNDS, -log_probabilities / _GUESS[modality]).tolist()


def atom_positions(smiles: str) -> list[int]:
    """Return where each atom of a SMILES stands in it, in the order in which RDKit counts them.

    >>> atom_positions("C[C@H](Cl)O")
    [0, 1, 7, 10]
    """
    return [
        match.start()
        for match in _TOKEN.finditer(smiles)
        if match[0][0] == "[" or match[0][0].isalpha() or match[0] == "*"
    ]


@cache
def can_draw() -> bool:
    """Say whether molecules can be drawn; where they cannot, warn of it once.

    >>> can_draw()
    True
    """
    if missing := missing_for_drawing():
        warnings.warn(f"molecules are not drawn: {missing}", stacklevel=2)
    return not missing


def draw_molecule(smiles: str, levels: Sequence[int] | None = None) -> str:
    """Return a drawing of a molecule as SVG for HTML, in the colours of the page; molecules of a scaffold lie alike.

    Args:
        smiles: The molecule.
        levels: How surprising each letter of the SMILES is (`surprise_levels`); colours its atoms.

    >>> draw_molecule("CCO")[:13], "var(--surprise-5)" in draw_molecule("CCO", [0, 0, 5])
    ('<svg class="m', True)
    """
    from rdkit.Chem import Mol
    from rdkit.Chem.Draw import rdMolDraw2D

    parsed: Any = parse_smiles(smiles)
    mol = Mol(parsed)
    _lay_out(mol, smiles)
    drawer = rdMolDraw2D.MolDraw2DSVG(*_SIZE, -1, -1, True)  # letters as text, which is smaller than their outlines
    options: Any = drawer.drawOptions()
    options.useBWAtomPalette()
    options.clearBackground = False
    options.padding = 0.06
    options.fixedBondLength = 24
    options.minFontSize = 11
    options.highlightRadius = 0.42
    positions = atom_positions(smiles)
    colours = {}
    if levels is not None and len(positions) == mol.GetNumAtoms():
        colours = {atom: _stand_in(levels[position]) for atom, position in enumerate(positions) if levels[position]}
    rdMolDraw2D.PrepareAndDrawMolecule(
        drawer, mol, highlightAtoms=list(colours), highlightAtomColors=colours, highlightBonds=[]
    )
    drawer.FinishDrawing()
    return _for_html(drawer.GetDrawingText())


def molecule_grid(scores: Mapping[str, float], count: int = 20) -> Any:
    """Return a picture, a `PIL.Image.Image`, of the first ``count`` molecules, each with its score below.

    >>> molecule_grid({"CCO": 0.5, "c1ccccc1O": 0.25}).size
    (440, 180)
    """
    from rdkit.Chem import Draw

    shown = list(scores.items())[:count]
    return Draw.MolsToGridImage(
        [parse_smiles(smiles) for smiles, _ in shown],
        molsPerRow=min(5, len(shown)),
        subImgSize=(220, 180),
        legends=[f"{score:.3f}" for _, score in shown],
        returnPNG=False,  # in a notebook, too
    )


def _lay_out(mol: Any, smiles: str) -> None:
    """Give a molecule coordinates, those of its scaffold first."""
    from rdkit.Chem import MolFromSmiles, rdDepictor

    scaffold = MolFromSmiles(murcko_scaffold(smiles)) if mol.GetRingInfo().NumRings() else None
    if scaffold is not None and mol.HasSubstructMatch(scaffold):
        rdDepictor.Compute2DCoords(scaffold)
        rdDepictor.GenerateDepictionMatching2DStructure(mol, scaffold)
    else:
        rdDepictor.Compute2DCoords(mol)


def _stand_in(level: int) -> tuple[float, float, float]:
    """Return a colour that nothing else has, to be replaced by the page's for the level."""
    return level / 255, 254 / 255, 253 / 255


def _for_html(svg: str) -> str:
    """Return RDKit's SVG without what HTML has no need of, in the colours of the page."""
    width, height = _SIZE
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<!--.*?-->|<rect[^>]*></rect>| class='[^']*'|\n", "", body, flags=re.DOTALL)
    body = re.sub(r"stroke-(linecap|linejoin|opacity|miterlimit):[^;']*;?|fill-rule:[^;']*;?", "", body)
    body = body.replace(_BLACK, "currentColor")
    body = re.sub(r" style='fill:none;stroke:currentColor;stroke-width:[\d.]+px;' ?", "", body)  # the page says so
    body = re.sub(r" style='(font-size:\d+px);[^']*fill:currentColor' ?", r" style='\1'", body)
    body = re.sub(r"  style='fill:([^;]*);stroke:[^']*' ?", r" fill='\1'", body)
    for level in range(1, LEVELS):
        body = body.replace(f"#{level:02X}FEFD", f"var(--surprise-{level})")
    return f'<svg class="molecule" viewBox="0 0 {width} {height}" role="img" aria-label="structure">{body}'
