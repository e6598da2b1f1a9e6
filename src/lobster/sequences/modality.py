"""Telling what kind of molecule a string describes."""

import re

from lobster.constants import Modality
from lobster.sequences.chemistry import canonical_smiles

_AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWYXBZUO"
_NUCLEOTIDES = "ACGTUNRYSWKMBDHV"  # IUPAC ambiguity codes included

_PROTEIN = re.compile(f"[{_AMINO_ACIDS}]+\\*?")
_NUCLEOTIDE = re.compile(f"[{_NUCLEOTIDES}]+", re.IGNORECASE)
_ORGANIC_ATOMS = re.compile("[BCNOPSFI]+")
_UNAMBIGUOUS = frozenset("ACGTUNacgtun")


def _detect_modality(sequence: str) -> Modality:
    """Return the modality of a sequence, read as it is: case carries chemistry.

    1. Upper-case letters that are all atoms of the organic subset (B C N O P S F I), where RDKit can parse them: SMILES.
    2. IUPAC codes of DNA or RNA in one case, at least half of them A, C, G, T, U or N: a nucleotide sequence.
    3. Upper-case amino acids (X, B, Z, U, O among them; ``*`` may end them): a protein.
    4. Anything else that RDKit can parse: SMILES.

    Short strings can be several things; these go to the first rule that fits:

    | string                | could also be               | taken for                                        |
    |-----------------------|-----------------------------|--------------------------------------------------|
    | ``CCO``, ``CCN``      | peptides, DNA with an N     | SMILES                                           |
    | ``CCCC``, ``NCCN``    | poly-C, DNA with Ns         | SMILES                                           |
    | ``SPINS``, ``SPOON``  | peptides                    | SMILES                                           |
    | ``NOFFS``             | SMILES but for its valences | protein                                          |
    | ``CN``, ``C``         | a dipeptide, a base         | SMILES                                           |
    | ``cccc``              | aromatic atoms in no ring   | nucleotide                                       |
    | ``GATTACA``, ``NAG``  | peptides                    | nucleotide                                       |
    | ``GAVA``, ``MARK``    | peptides; IUPAC codes       | nucleotide, protein: half of the letters decide  |

    Where it matters, a data set's `modality` column decides instead.

    Raises:
        ValueError: It is none of them.

    >>> [_detect_modality(s).value for s in ("c1ccccc1", "MKTVRQERLK", "ATGCGT", "acgu", "CCO", "[Na+]")]
    ['SMILES', 'amino_acid', 'nucleotide', 'nucleotide', 'SMILES', 'SMILES']
    """
    text = sequence.strip() if isinstance(sequence, str) else ""
    if not text:
        raise ValueError(f"expected a molecule's sequence, got {sequence!r:.40}")
    if _ORGANIC_ATOMS.fullmatch(text) and canonical_smiles(text):
        return Modality.SMILES
    one_case = text.isupper() or text.islower()
    if one_case and _NUCLEOTIDE.fullmatch(text) and 2 * sum(map(_UNAMBIGUOUS.__contains__, text)) >= len(text):
        return Modality.NUCLEOTIDE
    if _PROTEIN.fullmatch(text):
        return Modality.AMINO_ACID
    if canonical_smiles(text):
        return Modality.SMILES
    raise ValueError(f"{text[:40]!r} is neither a SMILES that RDKit can parse, nor a protein, nor DNA or RNA")


def normal_form(text: str, modality: Modality) -> str | None:
    """Return the one spelling of a sequence that counts, or None where ``text`` is not of that modality.

    That is RDKit's canonical SMILES, a protein's upper-case letters, or a nucleotide sequence in lower case.

    >>> normal_form("OCC", Modality.SMILES), normal_form("ACGU", Modality.NUCLEOTIDE)
    ('CCO', 'acgu')
    >>> normal_form("MKTJ", Modality.AMINO_ACID) is None
    True
    """
    match modality:
        case Modality.SMILES:
            return canonical_smiles(text)
        case Modality.AMINO_ACID:
            return text if _PROTEIN.fullmatch(text) else None
        case Modality.NUCLEOTIDE:
            return text.lower() if _NUCLEOTIDE.fullmatch(text) else None
