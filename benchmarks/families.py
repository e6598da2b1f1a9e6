"""What families know of mutants, whether their reward can be gamed, and what adapting an encoder to them adds.

For every scan of DATA/eval/dms: relatives found in DATA/protein/train.fasta.gz; Spearman's correlation of the family and of
BLOSUM62 with what was measured; how often a held-out member scores above what is made of it. With --adapt, for the scans
named, an encoder is adapted with residues and with the profile as targets, and the better of it and the family is chosen by the
held-out relatives alone. Prints JSON, a line for each.

python benchmarks/families.py --data DATA                                     # 2 minutes
python benchmarks/families.py --data DATA --adapt IF1 UBC9 --profile_share 0 0.5 1      # 3 minutes of a core for each run
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from lobster.evaluation.mutants import Scan, blosum62_scores, encoder_scores, family_scores, read_scan
from lobster.evaluation.scorecard import spearman
from lobster.model import Ume
from lobster.pretraining.adaptation import AdaptArguments, adapt, divide
from lobster.pretraining.run import TRAINING_FILE
from lobster.scoring.families import Profile, Relative, find_relatives, read_database

MOTIF = 20  # residues


def scans(data: Path) -> Iterator[tuple[str, Scan]]:
    """Yield every scan with its name."""
    index = data / "eval/dms/index.csv"
    for _, assay in pd.read_csv(index).iterrows():
        yield assay["name"], read_scan(index.parent / f"{assay['name']}.csv", assay["wt"])


def foretold(scan: Scan, relatives: list[Relative]) -> dict[str, float]:
    """Return the correlations of a scan, and how many relatives they come from."""
    profile = Profile.from_relatives(scan.wild_type, [s for _, s in relatives])
    return {
        "residues": len(scan.wild_type),
        "relatives": len(relatives),
        "different": profile.effective - 1,
        "whole": len(profile.members) - 1,
        "blosum62": spearman(blosum62_scores(scan.wild_type, scan.mutants), scan.measured),
        "family": spearman(family_scores(profile, scan.wild_type, scan.mutants), scan.measured),
    }


def gamed(scan: Scan, relatives: list[Relative], seed: int = 0) -> dict[str, float]:
    """Return the mean score of held-out members, and of what is made of them, with the share of pairs that the member wins.

    Held-out members are relatives that no other is alike to, and that have as many positions as most members have.
    """
    try:
        family = divide(scan.wild_type, [s for _, s in relatives], seed)
    except ValueError:
        return {}
    profile, rng = family.profile, np.random.default_rng(seed)
    has = (profile.aligned(family.heldout) < 20).mean(1)
    members = [s for s, share in zip(family.heldout, has, strict=True) if share >= profile.covered]
    if not members:
        return {}
    best = int(np.convolve(profile.log_odds.max(1), np.ones(MOTIF), "valid").argmax())
    motifs = [_part(profile, member, best) for member in members]
    made = {
        "half": [m[: len(m) // 2] for m in members],
        "three quarters": [m[: 3 * len(m) // 4] for m in members],
        "nine tenths": [m[: 9 * len(m) // 10] for m in members],
        "first half twice": [m[: len(m) // 2] * 2 for m in members],
        "motif repeated": [(p * len(m))[: len(m)] for p, m in zip(motifs, members, strict=True)],
        "whole twice": [m * 2 for m in members],
        "shuffled": ["".join(rng.permutation(list(m))) for m in members],
        "a tenth replaced": [_replaced(m, 0.1, rng) for m in members],
    }
    real = profile.score(members)
    found: dict[str, float] = {"members": len(members), "member": float(real.mean())}
    for name, sequences in made.items():
        scores = profile.score(sequences)
        found |= {name: float(scores.mean()), f"{name}, won": float((real > scores).mean())}
    return found


def _part(profile: Profile, member: str, start: int) -> str:
    [columns] = profile.columns([member])
    at = np.flatnonzero((columns >= start) & (columns < start + MOTIF))
    return member[at[0] : at[-1] + 1] if len(at) else member[:MOTIF]


def _replaced(sequence: str, share: float, rng: np.random.Generator) -> str:
    letters = np.array(list(sequence))
    changed = rng.random(len(letters)) < share
    letters[changed] = rng.permutation(letters)[: changed.sum()]
    return "".join(letters)


def adapted(scan: Scan, relatives: list[Relative], start: str, share: float, steps: int) -> dict[str, float | str]:
    """Adapt an encoder to a scan's family; return the correlations, and which one held-out relatives choose."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "relatives.fasta"
        records = [Relative("query", scan.wild_type), *relatives]
        file.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in records))
        ume = adapt(AdaptArguments(str(file), folder, start, profile_share=share, max_steps=steps))
        facts = json.loads((Path(folder) / TRAINING_FILE).read_text())
    nats = facts["heldout_nats"]
    before = encoder_scores(Ume.from_pretrained(start, device="cpu"), scan.wild_type, scan.mutants)
    return {f"heldout nats, {name}": value for name, value in nats.items()} | {
        "kept step": facts["kept_step"],
        "start": spearman(before, scan.measured),
        "adapted": spearman(encoder_scores(ume, scan.wild_type, scan.mutants), scan.measured),
        "chosen": min(("profile", "adapted"), key=nats.__getitem__),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--adapt", nargs="*", default=[], help="beginnings of the scans' names")
    parser.add_argument("--start", default="ume-nano-base-3M")
    parser.add_argument("--profile_share", nargs="+", type=float, default=[AdaptArguments.profile_share])
    parser.add_argument("--max_steps", type=int, default=AdaptArguments.max_steps)
    a = parser.parse_args()
    database = read_database(a.data / "protein/train.fasta.gz")
    for name, scan in scans(a.data):
        wanted = any(map(name.startswith, a.adapt))
        if a.adapt and not wanted:
            continue
        relatives = find_relatives(scan.wild_type, database)
        found: dict = {"scan": name} | foretold(scan, relatives)
        if not wanted:
            print(json.dumps(found | {"gamed": gamed(scan, relatives)}), flush=True)
            continue
        for share in a.profile_share:
            figures = adapted(scan, relatives, a.start, share, a.max_steps)
            print(json.dumps(found | {"profile share": share} | figures), flush=True)


if __name__ == "__main__":
    main()
