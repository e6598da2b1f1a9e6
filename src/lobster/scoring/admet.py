"""ADMET-AI: absorption, distribution, metabolism, excretion and toxicity of molecules, as it predicts them."""

import io
import logging
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import Any, ClassVar

from lobster.constants import Modality


@dataclass(frozen=True)
class Admet:
    """A property of SMILES that ADMET-AI predicts (Swanson et al., 2024), by ensembles of graph neural networks.

    Several components, each of its own property, share one prediction.

    Attributes:
        property: Its name there: ``hERG``, ``AMES``, ``BBB_Martins`` (probabilities), ``Solubility_AqSolDB`` (log mol/l) …

    Raises:
        ModuleNotFoundError: admet-ai is not installed.
    """

    batch: ClassVar[bool] = True
    processes: ClassVar[bool] = False  # its models are large, and take a batch in one pass
    modalities: ClassVar[tuple[Modality, ...]] = (Modality.SMILES,)
    property: str

    def __post_init__(self) -> None:
        if find_spec("admet_ai") is None:
            raise ModuleNotFoundError("admet needs admet-ai: pip install 'lobster-rl[admet]'")

    def __call__(self, smiles: Sequence[str]) -> list[float | Exception]:
        """Predict the property of each molecule.

        Raises:
            ValueError: There is no such property.
        """
        found = _predict(tuple(smiles))
        if self.property not in found:
            raise ValueError(f"property {self.property!r} is unknown: expected one of {', '.join(found.columns)}")
        values = found[self.property].to_dict()
        return [values.get(one, ValueError("ADMET-AI cannot read it")) for one in smiles]


@lru_cache(maxsize=4)
def _predict(smiles: tuple[str, ...]) -> Any:
    """Return a table of all properties, a row for each molecule that can be read, by its SMILES."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # and its progress bars
        return _model().predict(list(smiles))


@cache
def _model() -> Any:
    from admet_ai import ADMETModel

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    return ADMETModel()
