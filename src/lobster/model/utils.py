"""What a sequence is: kept here under the name that users type; it lives in `lobster.sequences`."""

from lobster.sequences import _detect_modality

__all__ = ["_detect_modality"]
