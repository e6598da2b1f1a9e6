"""Telling what kind of molecule a string describes, and the one spelling of it that counts."""

import re

from lobster.constants import Modality
from lobster.sequences.chemistry import SmilesOptions, canonical_smiles, parse_smiles

MAX_LETTERS = 100_000  # of a protein or gene that is scored in windows; the longest protein known has 35,000

_LETTERS = {
    Modality.AMINO_ACID: "ACDEFGHIKLMNPQRSTVWYXBZUO",
    Modality.NUCLEOTIDE: "ACGTUNRYSWKMBDHV",  # IUPAC ambiguity codes included
}
_ODD = {modality: re.compile(f"[^{known}]", re.IGNORECASE | re.ASCII) for modality, known in _LETTERS.items()}
_PROTEIN = re.compile(f"[{_LETTERS[Modality.AMINO_ACID]}]+\\*?")
_NUCLEOTIDE = re.compile(f"[{_LETTERS[Modality.NUCLEOTIDE]}]+", re.IGNORECASE | re.ASCII)
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
    if _ORGANIC_ATOMS.fullmatch(text) and parse_smiles(text):
        return Modality.SMILES
    one_case = text.isupper() or text.islower()
    if one_case and _NUCLEOTIDE.fullmatch(text) and 2 * sum(map(_UNAMBIGUOUS.__contains__, text)) >= len(text):
        return Modality.NUCLEOTIDE
    if _PROTEIN.fullmatch(text):
        return Modality.AMINO_ACID
    if parse_smiles(text):
        return Modality.SMILES
    raise ValueError(f"{text[:40]!r} is neither a SMILES that RDKit can parse, nor a protein, nor DNA or RNA")


def letters_of(text: str) -> str:
    """Return the letters of a protein or nucleotide sequence, however files and programs lay them out.

    Of FASTA, the header and lines of comment (``;``) are left out, and only the first record counts. Blanks, line
    breaks and numbers that stand alone are layout too.

    >>> letters_of(">sp|P0 a protein\\nMKTVRQ\\nERLK\\n>another\\nGG"), letters_of("  1 atgcgt acg\\n 61 tag")
    ('MKTVRQERLK', 'atgcgtacgtag')
    """
    lines = [line for line in text.strip().splitlines() if not line.startswith(";")]
    if lines and lines[0].startswith(">"):
        end = next((i for i, line in enumerate(lines[1:], 1) if line.startswith(">")), None)
        lines = lines[1:end]
    return "".join(word for line in lines for word in line.split() if not word.isdecimal())


def read_letters(text: str, modality: Modality) -> str:
    """Return the normal form of a protein or nucleotide sequence.

    Raises:
        ValueError: It has no letters, or one that its modality does not know; the message says which and where.

    >>> read_letters("mktv rqer*", Modality.AMINO_ACID), read_letters("AUGC", Modality.NUCLEOTIDE)
    ('MKTVRQER', 'atgc')
    >>> read_letters("MKT-V", Modality.AMINO_ACID)
    Traceback (most recent call last):
    ValueError: '-' at position 4 (counted from 1) is no amino_acid: expected letters of ACDEFGHIKLMNPQRSTVWYXBZUO
    """
    letters, known = letters_of(text), _LETTERS[modality]
    if modality is Modality.AMINO_ACID:
        letters = letters.removesuffix("*")
    if not letters:
        raise ValueError(f"it has no letters: expected some of {known}")
    if odd := _ODD[modality].search(letters):
        where = f"{odd[0]!r} at position {odd.start() + 1} (counted from 1)"
        raise ValueError(f"{where} is no {modality}: expected letters of {known}")
    return letters.upper() if modality is Modality.AMINO_ACID else letters.lower().replace("u", "t")


def normal_form(text: str, modality: Modality, smiles_options: SmilesOptions | None = None) -> str | None:
    """Return the one spelling of a sequence that counts, or None where ``text`` is not of that modality.

    That is a molecule's canonical SMILES (`canonical_smiles`); a protein's upper-case letters, without the ``*`` that
    may end them; or DNA in lower case, which RNA is taken for (a U is a T). However a protein or nucleotide sequence is
    laid out, in lower or upper case, lines, blocks or FASTA, it is read; of several FASTA records the first.

    >>> normal_form("OCC", Modality.SMILES), normal_form("ACGU", Modality.NUCLEOTIDE)
    ('CCO', 'acgt')
    >>> normal_form("MKTJ", Modality.AMINO_ACID) is None
    True
    """
    if modality is Modality.SMILES:
        return canonical_smiles(text, smiles_options or SmilesOptions())
    try:
        return read_letters(text, modality)
    except ValueError:
        return None
