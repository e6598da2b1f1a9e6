"""Command line: `python -m lobster.evaluation ume|policy|samples|mutants NAME …` prints figures, as a table and as JSON."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from lobster.constants import Modality
from lobster.device import resolve_device
from lobster.evaluation import mutants
from lobster.evaluation.metrics import SequenceMetrics, SmilesMetrics, sample_metrics
from lobster.evaluation.policies import policy_scorecard
from lobster.evaluation.scorecard import ASSAY, LAYOUT, scorecard, spearman
from lobster.evaluation.table import Figure, as_json, markdown
from lobster.model import load_encoder
from lobster.model.policies import load_policy
from lobster.scoring.families import Profile
from lobster.sequences import read_sequences
from lobster.sequences.files import check_not_read, read_protein


def _figures(metrics: SmilesMetrics | SequenceMetrics, modality: Modality) -> Iterator[Figure]:
    for field in fields(metrics)[1:]:  # the first is the count
        title = field.name.replace("_", " ").replace("qed", "mean QED")
        yield Figure("Samples", modality, title, metrics.count, getattr(metrics, field.name))


def _mutants(a: argparse.Namespace) -> Iterator[Figure]:
    """Score the mutants of a file by each of what was named, and write what was asked for."""
    for output in filter(None, (a.scores, a.heat_map)):
        check_not_read(output, *filter(None, (a.file, a.wild_type, a.alignment, a.hmm, a.relatives)))
    scan = mutants.read_scan(a.file, read_protein(a.wild_type))
    found: dict[str, np.ndarray] = {}
    substitutions = None
    if files := {kind: getattr(a, kind) for kind in ("alignment", "hmm", "relatives") if getattr(a, kind)}:
        profile = Profile.from_file(**files)
        found["family"] = mutants.family_scores(profile, scan.wild_type, scan.mutants)
        substitutions = profile.substitutions(scan.wild_type)
    if a.encoder:
        encoder = load_encoder(a.encoder, Modality.AMINO_ACID, a.device).freeze()
        found[mutants.TITLES[a.method]] = mutants.encoder_scores(encoder, scan.wild_type, scan.mutants, a.method)
        if a.heat_map:
            masked = a.method != "wild_type_marginal"
            substitutions = mutants.encoder_substitutions(encoder, scan.wild_type, masked)
    if not found:
        raise ValueError("nothing is to score the mutants: name --encoder, or --relatives, --alignment or --hmm")
    if a.heat_map and substitutions is not None:
        mutants.heat_map(substitutions, scan.wild_type, a.heat_map, a.encoder or "family")
    if a.scores:
        texts = [":".join(f"{s.wild_type}{s.position + 1}{s.mutant}" for s in mutant) for mutant in scan.mutants]
        pd.DataFrame({"mutant": texts, "score": scan.measured} | found).to_csv(a.scores, index=False)
    baseline = {"BLOSUM62": spearman(mutants.blosum62_scores(scan.wild_type, scan.mutants), scan.measured)}
    for name, scores in found.items():
        yield Figure(ASSAY, Modality.AMINO_ACID, name, len(scores), spearman(scores, scan.measured), baseline)


def _print(figures: Iterable[Figure], name: str, file: Path | None = None) -> None:
    found = []
    for figure in figures:
        found.append(figure)
        print(f"{figure.modality}: {figure.name}", file=sys.stderr, flush=True)
    print(markdown(found, name))
    print()
    report = json.dumps({"model": name, "figures": as_json(found)})
    print(report)
    if file is not None:
        file.write_text(report + "\n")


def main(arguments: list[str], prog: str = "python -m lobster.evaluation") -> None:
    """Run one command; ``prog`` is what its help calls it."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    ume = commands.add_parser(
        "ume",
        help="a UME, or any masked language model with a tokenizer",
        description=LAYOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    policy = commands.add_parser("policy", help="a causal language model that writes sequences")
    samples = commands.add_parser(
        "samples",
        help="sequences that a model wrote",
        description="Validity, uniqueness, novelty and diversity of the sequences of a file.",
    )
    for command in (ume, policy):
        command.add_argument("name", help="a name that ships, a folder or a Hub id")
        command.add_argument("--device")
        command.add_argument("--seed", type=int, default=0)
    ume.add_argument("--data", type=Path, default=Path("data"), help="folder of the data (%(default)s)")
    ume.add_argument(
        "--modality",
        type=Modality,
        choices=list(Modality),
        help="what it reads, where its vocabulary can write several",
    )
    ume.add_argument("--tokens", type=int, default=40_000, help="held-out tokens of each modality (%(default)s)")
    ume.add_argument("--mutants", type=int, default=50, help="mutants of a protein to score whole (%(default)s)")
    policy.add_argument("--modality", type=Modality, choices=list(Modality), default=Modality.SMILES)
    policy.add_argument("--train", required=True, help="file of the sequences that it learned from")
    policy.add_argument("--heldout", required=True, help="file of sequences that it did not see")
    policy.add_argument("--samples", type=int, default=1000)
    samples.add_argument(
        "file", help="FASTA, or one sequence a line (the first word counts; a blank line is an empty one)"
    )
    samples.add_argument("--modality", type=Modality, choices=list(Modality), required=True)
    samples.add_argument("--reference", help="file of what the model learned from, for the novelty")
    samples.add_argument("--json", type=Path, help="file to write the JSON to as well")
    scan = commands.add_parser(
        "mutants",
        help="mutants of a protein that were measured",
        description="Spearman correlation of what an encoder and a family make of mutants with what was measured of them.",
    )
    scan.add_argument("file", help="CSV with the columns mutant (A24G, several joined by ':') and score")
    scan.add_argument("--wild_type", required=True, help="the protein: a FASTA file, or its letters")
    scan.add_argument("--encoder", help="a name that ships, a folder or a Hub id")
    scan.add_argument(
        "--method", choices=get_args(mutants.Method), default="masked_marginal", help="of the encoder (%(default)s)"
    )
    scan.add_argument("--relatives", help="family: FASTA of relatives that are not aligned, the query first")
    scan.add_argument("--alignment", help="family: relatives that are aligned, the query first")
    scan.add_argument("--hmm", help="family: a profile of HMMER's")
    scan.add_argument("--heat_map", help="PNG to draw every substitution into, by the encoder if there is one")
    scan.add_argument("--scores", help="CSV to write the score of each mutant to")
    scan.add_argument("--device")
    a = parser.parse_args(arguments)
    if a.command == "policy" and a.samples < 1:
        parser.error(f"--samples is {a.samples}: expected at least 1")
    if a.command == "ume":
        model = load_encoder(a.name, a.modality, a.device).freeze()
        _print(scorecard(model, a.data, a.tokens, a.mutants, a.seed), a.name)
    elif a.command == "mutants":
        _print(_mutants(a), Path(a.file).stem)
    elif a.command == "samples":
        reference = read_sequences(a.reference) if a.reference else None
        written = read_sequences(a.file, blank=True)
        _print(_figures(sample_metrics(written, a.modality, reference), a.modality), a.file, a.json)
    else:
        causal, tokenizer = load_policy(a.name)
        causal.to(resolve_device(a.device)).eval()
        train, heldout = read_sequences(a.train), read_sequences(a.heldout)
        _print(policy_scorecard(causal, tokenizer, a.modality, train, heldout, a.samples, a.seed), a.name)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)  # what a shell expects of a program that was interrupted
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
