"""`lobster score`: a file of sequences in, a table of scores out."""

import argparse

from lobster.cli.common import MODALITIES, importing, verb_parser

EXAMPLE = r"""
printf 'CC(=O)Oc1ccccc1C(=O)O aspirin\nC1CC broken\n' > molecules.smi
lobster score molecules.smi --output scores.csv
"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    what = (
        "Score every sequence of a file, in flat memory; what is scored is written at once. After an interruption the same command\n"
        "goes on where it ended. Lines that cannot be scored are kept, with the reason."
    )
    made = verb_parser("score", what, EXAMPLE)
    made.add_argument("file", help="one sequence a line, FASTA, csv, tsv or parquet; plain or gzipped")
    made.add_argument("--output", default="scores.csv", help="table to write: .csv, .parquet or .jsonl (%(default)s)")
    made.add_argument("--column", help="column of a table that holds the sequences")
    made.add_argument("--modality", choices=MODALITIES, help="what they are; by default each what it looks like")
    made.add_argument(
        "--encoder", default="ume-mini-base-12M", help="a name that ships, a folder, a Hub id or a .ckpt (%(default)s)"
    )
    made.add_argument("--scoring", help="YAML file of a scoring function, or one component such as pseudo_likelihood")
    made.add_argument("--reference", help="file of real sequences, which say what is natural")
    made.add_argument(
        "--explain", action="store_true", help="add each sequence's tokens and their log-probabilities (nats)"
    )
    made.add_argument(
        "--windows", action="store_true", help="score proteins and genes beyond the encoder's length, in windows"
    )
    made.add_argument(
        "--batch_size", type=int, default=8, help="memory, in sequences of the encoder's length (%(default)s)"
    )
    made.add_argument("--device", help="cuda or cpu; CUDA where there is one")
    made.add_argument("--overwrite", action="store_true", help="begin anew where the output exists")
    return made


def run(words: list[str]) -> None:
    """Score a file."""
    arguments = parser().parse_args(words)
    with importing():
        from lobster.model import load_encoder
        from lobster.scoring import Scorer
        from lobster.scoring.files import score_file

    scorer = Scorer(
        load_encoder(arguments.encoder, arguments.modality, arguments.device),
        arguments.scoring,
        arguments.reference,
        long_sequences="windows" if arguments.windows else "refuse",
        batch_size=arguments.batch_size,
    )
    outcomes = score_file(
        scorer,
        arguments.file,
        arguments.output,
        arguments.column,
        arguments.modality,
        arguments.explain,
        arguments.overwrite,
        about={name: getattr(arguments, name) for name in ("encoder", "scoring", "reference", "windows")},
    )
    print(f"{arguments.output}: {', '.join(f'{count:,} {outcome}' for outcome, count in outcomes.most_common())}")
