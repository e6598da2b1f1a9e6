"""Memory of what was rewarded already: what is no longer new pays less."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lobster.constants import Modality
from lobster.processes import digest, from_all_processes
from lobster.sequences.chemistry import IDENTITIES, fingerprint, identity_key, murcko_scaffold
from lobster.sequences.near_duplicates import WORDS, NearDuplicates

MEMORY_FILE = "diversity_memory.json"
SCAFFOLDS = ("murcko", "generic", "none")
DECAYS = ("hard", "linear", "sigmoid")

_RECENT = 512  # molecules that a new one is compared to


class DiversityMemory:
    """Remembers what paid, over a whole run and all its processes, so that a policy cannot live on one idea.

    A likelihood reward alone collapses to the one molecule that it likes best. Here a molecule pays once, and what a family
    of molecules pays falls from all to `floor` over the first `bucket_size` of them:

    - SMILES: a family is a Bemis-Murcko scaffold. Molecules without a ring are one family.
    - Proteins and nucleotides: near-duplicates, by the similarity of their k-mers (MinHash sketches, k = 4 residues or 8
      bases) to the first of the family. The similarity that belongs to an identity is that of Mash (Ondov et al., 2016).

    The idea of the buckets is that of Blaschke et al., "Memory-assisted reinforcement learning for diverse molecular de novo
    design", J. Cheminform. 2020. It keeps about 100 bytes a molecule, 5 kB a family of
    proteins or nucleotides; a protein takes it 20 µs at a thousand families and 60 µs at a million, a gene 30 µs and 0.3 ms,
    for two genes share words by chance.

    Args:
        scaffold: ``murcko``, ``generic`` (all atoms carbon, all bonds single) or ``none`` (a molecule is its own family).
        bucket_size: How many molecules of a family come before its bucket is full.
        decay: How the share of the n-th molecule of a family falls, n counted from 0: ``hard`` all at once where the bucket is
            full; ``linear`` with n / bucket_size; ``sigmoid`` along a logistic curve, half of the way at half the bucket.
        floor: What share a family earns whose bucket is full. At 0 the frequent families become failures, and in
            measured runs (`docs/reward_shaping.md`) that was louder than the likelihood.
        crowding: How much less a molecule of SMILES earns for its mean similarity to the last 512 before it (Tanimoto, Morgan
            fingerprints of radius 2): its share is multiplied by 1 − crowding · similarity.
        identity: Which molecules of SMILES are the same one, and pay once: ``exact``; ``parent``, whatever salt,
            solvent or charge; ``tautomer``, and whichever tautomer; ``connectivity``, and whichever stereoisomer. All
            but the first take 3 to 5 ms for a molecule (`lobster.sequences.chemistry.identity_key`).
        sequence_identity: Proteins and nucleotides of at least this identity are near-duplicates; None: only equal ones
            are.
        begin_with: A folder with what another memory has saved, to be remembered from the start: that of a checkpoint, or
            ``stage-1/memory``.

    Raises:
        ValueError: A choice does not exist, a number is out of range, or ``begin_with`` has other families.
        FileNotFoundError: There is no memory in ``begin_with``.

    >>> memory = DiversityMemory(bucket_size=2, decay="hard", floor=0.5)
    >>> phenols = [(Modality.SMILES, f"{chain}Oc1ccccc1") for chain in ("C", "CC", "CCC")]
    >>> memory.pay([phenols[0], phenols[0], None, phenols[1], phenols[2]])
    [1.0, 0.0, 0.0, 1.0, 0.5]
    >>> salts = [(Modality.SMILES, smiles) for smiles in ("CC(=O)O", "CC(=O)[O-].[Na+]")]
    >>> DiversityMemory().pay(salts)[1] > 0, DiversityMemory(identity="parent").pay(salts)
    (True, [1.0, 0.0])
    """

    def __init__(
        self,
        scaffold: str = "murcko",
        bucket_size: int = 50,
        decay: str = "linear",
        floor: float = 0.85,
        crowding: float = 0.7,
        identity: str = "exact",
        sequence_identity: float | None = 0.8,
        begin_with: str | Path | None = None,
    ):
        choices = (("scaffold", scaffold, SCAFFOLDS), ("decay", decay, DECAYS), ("identity", identity, IDENTITIES))
        for name, value, known in choices:
            if value not in known:
                raise ValueError(f"{name} is {value!r}: expected one of {', '.join(known)}")
        if bucket_size < 1:
            raise ValueError(f"bucket_size is {bucket_size}: expected at least 1")
        if sequence_identity is not None and not 0.5 <= sequence_identity < 1:
            raise ValueError(
                f"sequence_identity is {sequence_identity}: expected at least 0.5 and below 1, such as 0.8, or None"
            )
        for name, share in (("floor", floor), ("crowding", crowding)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is {share}: expected a share in [0, 1]")
        self.scaffold, self.bucket_size, self.decay = scaffold, bucket_size, decay
        self.floor, self.crowding = floor, crowding
        self.identity, self.sequence_identity = identity, sequence_identity
        self.begin_with = begin_with
        self._forget()
        if begin_with is not None:
            self.load(begin_with)

    def _forget(self) -> None:
        self._seen: set[int] = set()
        self._paid: Counter[str] = Counter()  # molecules of each family
        self._recent: list[Any] = []  # fingerprints of the last molecules, the latest last
        threshold = self.sequence_identity
        self._families = {m: NearDuplicates(m, threshold) for m in WORDS} if threshold else {}

    def __len__(self) -> int:
        return len(self._seen)

    def pay(self, molecules: Sequence[tuple[Modality, str] | None]) -> list[float]:
        """Return what share of its reward each molecule earns, in [0, 1], and remember them all. None earns nothing.

        Where several processes run, all must call it together, each with its own molecules; the first process's come first.

        Args:
            molecules: Modality and normal form of each: canonical SMILES, upper-case residues, DNA in lower case.
        """
        rows = [None if molecule is None else self._row(*molecule) for molecule in molecules]
        everyone, own = from_all_processes(rows)
        every_row = [row for theirs in everyone for row in theirs]
        shares = [0.0 if row is None else self._pay(*row) for row in every_row]
        new = [row[-1] for row in every_row if row is not None and row[-1] is not None]
        self._recent = (self._recent + new)[-_RECENT:]
        first = sum(len(theirs) for theirs in everyone[:own])
        return shares[first : first + len(rows)]

    def _row(self, modality: Modality, sequence: str) -> tuple[Modality, str, str | None, Any]:
        """Return what is remembered of a molecule: its modality, what identifies it, its scaffold, its fingerprint."""
        if modality is not Modality.SMILES:
            return modality, sequence, None, None
        scaffold = None if self.scaffold == "none" else murcko_scaffold(sequence, generic=self.scaffold == "generic")
        bits = fingerprint(sequence) if self.crowding else None
        return modality, identity_key(sequence, self.identity), scaffold, bits

    def _pay(self, modality: Modality, identity: str, scaffold: str | None, bits: Any) -> float:
        key = digest(f"{modality}:{identity}")
        if key in self._seen:
            return 0.0
        self._seen.add(key)
        family = self._families[modality].of(identity) if modality in self._families else scaffold
        apart = 1 - self.crowding * self._similarity(bits)
        if family is None:
            return apart
        name = f"{modality}:{family}"
        self._paid[name] += 1
        return apart * (self.floor + (1 - self.floor) * self._decay((self._paid[name] - 1) / self.bucket_size))

    def _similarity(self, bits: Any) -> float:
        from rdkit.DataStructs import BulkTanimotoSimilarity

        if bits is None or not self._recent:
            return 0.0
        return sum(BulkTanimotoSimilarity(bits, self._recent)) / len(self._recent)

    def _decay(self, fill: float) -> float:
        match self.decay:
            case "hard":
                return float(fill < 1)
            case "linear":
                return max(0.0, 1 - fill)
            case _:
                return 1 / (1 + math.exp(min(700.0, (2 * fill - 1) / 0.15)))

    def _settings(self) -> dict[str, str | float | None]:
        return {
            "scaffold": self.scaffold,
            "identity": self.identity,
            "sequence_identity": self.sequence_identity,
        }

    def save(self, folder: str | Path) -> None:
        """Write the memory into a folder."""
        state = {
            "settings": self._settings(),
            "molecules": sorted(self._seen),
            "families": self._paid,
            "recent": [bits.ToBase64() for bits in self._recent],
        }
        (Path(folder) / MEMORY_FILE).write_text(json.dumps(state))

    def load(self, folder: str | Path) -> None:
        """Replace the memory by what `save` wrote.

        Raises:
            FileNotFoundError: The folder has none: a run that resumes without it would pay for old molecules again.
            ValueError: It was written with other families (scaffold, identity) than this memory has.
        """
        from rdkit.DataStructs import ExplicitBitVect

        file = Path(folder) / MEMORY_FILE
        if not file.parent.is_dir():
            raise FileNotFoundError(
                f"{folder} does not exist: expected a folder with a diversity memory ({MEMORY_FILE})"
            )
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} does not exist: the run that wrote this folder had no diversity memory. "
                "Go on with diversity=False, or start anew"
            )
        state = json.loads(file.read_text())
        if state["settings"] != self._settings():
            raise ValueError(
                f"{file} was written with {state['settings']}, this run has {self._settings()}: resume with the former"
            )
        self._forget()
        self._seen, self._paid = set(state["molecules"]), Counter(state["families"])
        for text in state["recent"]:
            self._recent.append(ExplicitBitVect(0))
            self._recent[-1].FromBase64(text)
        for name in self._paid:
            modality, _, representative = name.partition(":")
            if Modality(modality) in self._families:
                self._families[Modality(modality)].of(representative)
