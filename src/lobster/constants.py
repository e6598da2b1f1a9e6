"""Names that every part of the library shares."""

from enum import StrEnum
from typing import Literal

# What is done with proteins and nucleotides beyond an encoder's longest input.
LongSequences = Literal["refuse", "windows"]


class Modality(StrEnum):
    """The kind of molecule that a sequence describes; the value is the name used in files and columns.

    >>> Modality("amino_acid") is Modality.AMINO_ACID
    True
    """

    SMILES = "SMILES"
    AMINO_ACID = "amino_acid"
    NUCLEOTIDE = "nucleotide"

    @classmethod
    def _missing_(cls, value: object) -> "Modality":
        """Accept any letter case; name the choices where nothing fits."""
        for member in cls:
            if isinstance(value, str) and value.lower() == member.value.lower():
                return member
        raise ValueError(f"modality {value!r} is unknown: expected one of {', '.join(m.value for m in cls)}")
