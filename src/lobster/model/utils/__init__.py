"""Reading molecules: which modality a string is of, and the one spelling of it that counts."""

from lobster.model.utils.modality import _detect_modality, normal_form
from lobster.model.utils.molecules import canonical_smiles, parse_smiles

__all__ = ["_detect_modality", "canonical_smiles", "normal_form", "parse_smiles"]
