"""A sequence's life before any model: which modality it is of, the one spelling that counts, and files of sequences."""

from lobster.sequences.chemistry import canonical_smiles, parse_smiles
from lobster.sequences.files import SequenceFileError, read_sequences
from lobster.sequences.modality import _detect_modality, normal_form

__all__ = [
    "SequenceFileError",
    "_detect_modality",
    "canonical_smiles",
    "normal_form",
    "parse_smiles",
    "read_sequences",
]
