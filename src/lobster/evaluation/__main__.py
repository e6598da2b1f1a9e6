"""Command line: `python -m lobster.evaluation ume|policy|samples NAME …` prints figures, as a table and as JSON."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path

from lobster.constants import Modality
from lobster.device import resolve_device
from lobster.evaluation.metrics import SequenceMetrics, SmilesMetrics, sample_metrics
from lobster.evaluation.policies import policy_scorecard
from lobster.evaluation.scorecard import LAYOUT, scorecard
from lobster.evaluation.table import Figure, as_json, markdown
from lobster.model import load_encoder
from lobster.model.policies import load_policy
from lobster.sequences import read_sequences


def _figures(metrics: SmilesMetrics | SequenceMetrics, modality: Modality) -> Iterator[Figure]:
    for field in fields(metrics)[1:]:  # the first is the count
        title = field.name.replace("_", " ").replace("qed", "mean QED")
        yield Figure("Samples", modality, title, metrics.count, getattr(metrics, field.name))


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


def main(arguments: list[str]) -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m lobster.evaluation", description=__doc__)
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
    samples.add_argument("file", help="FASTA, or one sequence a line (the first word counts), plain or gzipped")
    samples.add_argument("--modality", type=Modality, choices=list(Modality), required=True)
    samples.add_argument("--reference", help="file of what the model learned from, for the novelty")
    samples.add_argument("--json", type=Path, help="file to write the JSON to as well")
    a = parser.parse_args(arguments)
    if a.command == "ume":
        model = load_encoder(a.name, a.modality, a.device).freeze()
        _print(scorecard(model, a.data, a.tokens, a.mutants, a.seed), a.name)
    elif a.command == "samples":
        reference = read_sequences(a.reference) if a.reference else None
        _print(_figures(sample_metrics(read_sequences(a.file), a.modality, reference), a.modality), a.file, a.json)
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
