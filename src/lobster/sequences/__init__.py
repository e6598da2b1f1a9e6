"""A sequence's life before any model: which modality it is of, the one spelling that counts, and files of sequences."""

from lobster.sequences.chemistry import SmilesOptions, canonical_smiles, parse_smiles
from lobster.sequences.files import SequenceFileError, read_sequences
from lobster.sequences.modality import _detect_modality, letters_of, normal_form, read_letters

__all__ = [
    "SequenceFileError",
    "SmilesOptions",
    "_detect_modality",
    "canonical_smiles",
    "letters_of",
    "normal_form",
    "parse_smiles",
    "read_letters",
    "read_sequences",
]
