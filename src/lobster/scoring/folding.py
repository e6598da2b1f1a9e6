"""ESMFold: how sure a structure predictor is of a protein's fold."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from lobster.constants import Modality


@dataclass(frozen=True)
class Plddt:
    """The mean predicted LDDT of a protein's atoms, in [0, 1], by ESMFold (Lin et al., 2023) of the transformers library.

    Attributes:
        model: A folder, or a name on the Hugging Face Hub: ``facebook/esmfold_v1`` (8 GB on disk; a GPU of 16 GB folds some
            hundred residues).
        device: Where it runs; by default the GPU, where there is one.
        chunk_size: Rows of the pair representation that are attended to at once: 64 needs less memory than all, and more time.
    """

    batch: ClassVar[bool] = False  # a protein fills a GPU
    processes: ClassVar[bool] = False  # the model is large
    modalities: ClassVar[tuple[Modality, ...]] = (Modality.AMINO_ACID,)
    model: str
    device: str | None = None
    chunk_size: int | None = None

    def __call__(self, protein: str) -> float:
        """Fold a protein.

        Raises:
            OSError: There is no such model; and whatever PyTorch raises.
        """
        found = _model(self.model, self.device, self.chunk_size).infer(protein)
        exists = found.atom37_atom_exists.bool()
        return float(found.plddt[exists].mean())


@lru_cache(maxsize=1)
def _model(name: str, device: str | None, chunk_size: int | None) -> Any:
    from transformers import EsmForProteinFolding

    from lobster.device import resolve_device

    place = resolve_device(device)
    model = EsmForProteinFolding.from_pretrained(name).eval().requires_grad_(False)
    if place.type == "cpu":
        model = model.float()  # its language model is in half precision otherwise, which few CPUs can
    model.trunk.set_chunk_size(chunk_size)
    return model.to(place)
