"""Properties of proteins (in upper case) and nucleotide sequences (in either case); Biopython's where it has them.

Residues other than the 20 standard amino acids (X, B, Z, U, O) are left out of a protein's properties.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

STOP_CODONS = frozenset({"TAA", "TAG", "TGA"})


def gravy(protein: str) -> float:
    """Grand average of hydropathy, from −4.5 to 4.5 (Kyte and Doolittle, 1982)."""
    return _analysis(protein).gravy()


def isoelectric_point(protein: str) -> float:
    """The pH at which the protein has no charge."""
    return _analysis(protein).isoelectric_point()


def charge(protein: str, ph: float = 7.0) -> float:
    """Net charge at a pH, in elementary charges."""
    return _analysis(protein).charge_at_pH(ph)


def instability_index(protein: str) -> float:
    """Instability index; below 40 is taken for stable (Guruprasad et al., 1990)."""
    analysis = _analysis(protein)
    return analysis.instability_index() if analysis.length > 1 else 0.0


def aromaticity(protein: str) -> float:
    """Share of F, W and Y (Lobry and Gautier, 1994)."""
    return _analysis(protein).aromaticity()


def protein_weight(protein: str) -> float:
    """Molecular weight in Da."""
    return _analysis(protein).molecular_weight()


def secondary_structure(protein: str, structure: str = "helix") -> float:
    """Share of residues that favour a ``helix``, ``turn`` or ``sheet``, as Biopython counts them."""
    helix, turn, sheet = _analysis(protein).secondary_structure_fraction()
    shares = {"helix": helix, "turn": turn, "sheet": sheet}
    if structure not in shares:
        raise ValueError(f"structure is {structure!r}: expected one of {', '.join(shares)}")
    return shares[structure]


def motifs(sequence: str, wanted: Sequence[str] = (), forbidden: Sequence[str] = ()) -> float:
    """1 where each ``wanted`` regular expression is found in upper-case letters and no ``forbidden`` one is, else 0.

    A nucleotide sequence, in lower case, may be DNA or RNA, and so may its expressions: a U is a T in both.

    >>> motifs("MKRGDV", ["RGD"]), motifs("aaaugtaa", ["AUG", "ATG"]), motifs("MKRGUV", ["RGT"])
    (1.0, 1.0, 0.0)
    """
    letters, bases = sequence.upper(), sequence.islower()
    if bases:
        letters = letters.replace("U", "T")
    return float(
        all(_expression(pattern, bases).search(letters) for pattern in wanted)
        and not any(_expression(pattern, bases).search(letters) for pattern in forbidden)
    )


def gc_content(nucleotides: str) -> float:
    """Share of G and C, S among them; ambiguous bases count by half at most."""
    from Bio.SeqUtils import gc_fraction

    return gc_fraction(nucleotides, ambiguous="weighted")


def open_reading_frame(nucleotides: str) -> float:
    """1 for ATG, whole codons, and one stop codon, at the end; else 0.

    >>> open_reading_frame("atgaaataa"), open_reading_frame("ATGAAATA"), open_reading_frame("AUGUAAAAAUAA")
    (1.0, 0.0, 0.0)
    """
    letters = nucleotides.upper().replace("U", "T")
    codons = [letters[i : i + 3] for i in range(0, len(letters), 3)]
    inner = codons[:-1]
    return float(bool(inner) and codons[0] == "ATG" and codons[-1] in STOP_CODONS and STOP_CODONS.isdisjoint(inner))


def reading_frame(nucleotides: str) -> float:
    """1 for a start codon, whole codons, and one stop codon, at the end; else a tenth of the share of it before the first stop.

    Starts are those of bacteria (NCBI's genetic code 11), ATG, GTG and TTG among them.

    >>> reading_frame("atgaaataa"), reading_frame("gtgaaataa"), reading_frame("atgtaaaaataa"), reading_frame("aaaaa")
    (1.0, 1.0, 0.025, 0.1)
    """
    letters = nucleotides.upper().replace("U", "T")
    codons = [letters[i : i + 3] for i in range(0, len(letters), 3)]
    before = next((i for i, codon in enumerate(codons) if codon in STOP_CODONS), len(codons))
    if before and before == len(codons) - 1 and codons[0] in _start_codons():
        return 1.0
    return 0.1 * before / len(codons)


def translate(nucleotides: str) -> str:
    """Return the protein that a coding sequence encodes, up to its first stop codon (NCBI's genetic code 11).

    It may be DNA or RNA, in either case. A start codon at the beginning is an M; bases behind the last whole codon are left
    out, and a codon of ambiguous bases is an X where they matter.

    >>> translate("gtgaaataa"), translate("AUGUGGNNN"), translate("atggc"), translate("taaatg")
    ('MK', 'MWX', 'M', '')
    """
    from Bio.Seq import Seq

    whole = nucleotides[: len(nucleotides) // 3 * 3].upper().replace("U", "T")
    protein = str(Seq(whole).translate(table=11, to_stop=True))
    return "M" + protein[1:] if whole[:3] in _start_codons() else protein


def forbidden_sites(nucleotides: str, sites: Sequence[str]) -> float:
    """1 where none of the sites is on either strand, else 0.

    Args:
        nucleotides: The sequence.
        sites: IUPAC letters such as ``GGTCTC``, or restriction enzymes such as ``EcoRI`` (REBASE, through Biopython).

    >>> forbidden_sites("ATGGAATTCTAA", ["EcoRI"]), forbidden_sites("ATGGAGACCTAA", ["GGTCTC"])
    (0.0, 0.0)
    """
    letters = nucleotides.upper().replace("U", "T")
    return float(not any(_site(site).search(letters) for site in sites))


def _analysis(protein: str) -> Any:
    from Bio.Data.IUPACData import protein_letters
    from Bio.SeqUtils.ProtParam import ProteinAnalysis

    standard = "".join(residue for residue in protein if residue in protein_letters)
    if not standard:
        raise ValueError(f"{protein[:60]!r} has no properties: expected some of the 20 standard amino acids")
    return ProteinAnalysis(standard)


@cache
def _start_codons() -> frozenset[str]:
    from Bio.Data.CodonTable import unambiguous_dna_by_id

    return frozenset(unambiguous_dna_by_id[11].start_codons)


@cache
def _expression(pattern: str, bases: bool) -> re.Pattern[str]:
    try:
        return re.compile(pattern.replace("U", "T") if bases else pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error


@cache
def _site(site: str) -> re.Pattern[str]:
    from Bio.Data.IUPACData import ambiguous_dna_values
    from Bio.Restriction import Restriction_Dictionary
    from Bio.Seq import reverse_complement

    known = Restriction_Dictionary.rest_dict
    letters = str(known[site]["site"]) if site in known else site.upper().replace("U", "T")
    if not letters or set(letters) - set(ambiguous_dna_values):
        raise ValueError(f"site {site!r} is neither a restriction enzyme nor letters of DNA")
    strands = {letters, str(reverse_complement(letters))}
    return re.compile("|".join("".join(f"[{ambiguous_dna_values[x]}]" for x in strand) for strand in sorted(strands)))
