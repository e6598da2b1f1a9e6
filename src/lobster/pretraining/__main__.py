"""Command line: `python -m lobster.pretraining ume|relatives|adapt|policy|reference|publish|vocabulary|neighbourhoods …`; `--help` after each lists its arguments."""

import gzip
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from transformers import HfArgumentParser
from transformers.utils.logging import disable_progress_bar

from lobster.constants import Modality
from lobster.model.configuration import SIZES, UmeConfig
from lobster.pretraining.policy import PolicyArguments, train_policy
from lobster.pretraining.publish import publish
from lobster.pretraining.run import CorpusArguments, RunArguments
from lobster.pretraining.ume import train_ume
from lobster.sequences import parse_smiles, read_sequences
from lobster.sequences.environments import common_neighbourhoods
from lobster.sequences.files import check_not_read, read_protein
from lobster.tokenization import smiles_tokens

USAGE = """usage: python -m lobster.pretraining COMMAND [arguments]

  ume         train an encoder:   --smiles F --amino_acid F --nucleotide F --output_dir D [--size mini] [--start D]
  relatives   find the relatives of a protein, for adapt and for rewards:  --query F --database F --output F
  adapt       adapt an encoder to a family of proteins:  --amino_acid RELATIVES --output_dir D [--start D]
  policy      train a policy:     --smiles F | --amino_acid F | --nucleotide F  --output_dir D [--start D]
  reference   write what real sequences are like to an encoder:  --ume D --smiles F --amino_acid F --nucleotide F
  publish     write a trained model in float16 with a card:  --folder D --target D --scorecard F [--sources F]
  vocabulary  print the SMILES vocabulary of a corpus:  FILE
  neighbourhoods  print what the atoms of a corpus are bound to, which a search takes for chemistry:  FILE

COMMAND --help lists every argument. A run that was cut short goes on from its last checkpoint.
"""


@dataclass
class ModelArguments:
    """Which model to train."""

    size: str | None = field(
        default=None,
        metadata={
            "help": "size of a new UME (mini by default); with --start, twice as wide as that one: it is widened",
            "choices": list(SIZES),
        },
    )
    mask_rate: list[float] = field(
        default_factory=lambda: [0.25],
        metadata={"help": "share of the tokens to mask, or the lowest and highest share"},
    )
    max_length: int = field(
        default=UmeConfig.max_position_embeddings,
        metadata={"help": "longest input of this run; longer proteins and nucleotides are cut to random windows"},
    )
    count_codons: bool = field(
        default=False,
        metadata={
            "help": "with --start: make it count positions in codons; its first layer is left as it is from then on"
        },
    )


@dataclass
class PublishArguments:
    """Which model to publish, and where."""

    folder: str = field(metadata={"help": "output_dir of the training"})
    target: str = field(metadata={"help": "where to write the model"})
    scorecard: str = field(metadata={"help": "file with the output of python -m lobster.evaluation for this model"})
    sources: str | None = field(default=None, metadata={"help": "Markdown file about the data, quoted in the card"})


@dataclass
class ReferenceArguments:
    """Which encoder reads which real sequences."""

    ume: str = field(
        metadata={"help": "encoder, a UME or any other: a folder or a name; reference.json is written into its folder"}
    )
    smiles: str | None = field(default=None, metadata={"help": "file of SMILES, one a line"})
    amino_acid: str | None = field(default=None, metadata={"help": "FASTA file of proteins"})
    nucleotide: str | None = field(default=None, metadata={"help": "FASTA file of coding sequences"})


@dataclass
class RelativesArguments:
    """Whose relatives to find, and where."""

    query: str = field(metadata={"help": "the protein: a FASTA file, whose first record counts, or its letters"})
    database: str = field(metadata={"help": "FASTA file to search, plain or gzipped"})
    output: str = field(metadata={"help": "FASTA file to write: the query, then the parts of the relatives that match"})
    iterations: int = field(default=2, metadata={"help": "most searches, each with what the one before it has found"})
    evalue: float = field(default=1e-3, metadata={"help": "largest E-value of a relative"})


def main(arguments: list[str], prog: str = "python -m lobster.pretraining") -> None:
    """Run one command; ``prog`` is what its help calls it."""
    parse = partial(_parse, " ".join([prog, *arguments[:1]]))
    match arguments:
        case ["ume", *rest]:
            model, corpus, run = parse(rest, ModelArguments, CorpusArguments, RunArguments)
            train_ume(model.size, model.mask_rate, model.max_length, model.count_codons, corpus, run)
        case ["relatives", *rest]:
            [wanted] = parse(rest, RelativesArguments)
            write_relatives(wanted)
        case ["adapt", *rest]:
            from lobster.pretraining.adaptation import AdaptArguments, adapt

            adapt(*parse(rest, AdaptArguments))
        case ["policy", *rest]:
            train_policy(*parse(rest, PolicyArguments, CorpusArguments, RunArguments))
        case ["reference", *rest]:
            [real] = parse(rest, ReferenceArguments)
            write_reference(real.ume, {m: f for m in Modality if (f := getattr(real, m.value.lower()))})
        case ["publish", *rest]:
            [model] = parse(rest, PublishArguments)
            publish(model.folder, model.target, model.scorecard, model.sources)
        case ["vocabulary", file]:
            print("\n".join(smiles_tokens(read_sequences(file))))
        case ["neighbourhoods", file]:
            molecules = filter(parse_smiles, read_sequences(file))
            print("\n".join(map(str, common_neighbourhoods(molecules))))
        case _:
            sys.exit(USAGE)


def write_reference(name: str, files: dict[Modality, str]) -> None:
    """Let an encoder read files of real sequences, and write what it finds into its folder."""
    from lobster.model import load_encoder
    from lobster.scoring.reference import REFERENCE_FILE, Reference

    if not files:
        raise ValueError("there is no file of real sequences: name --smiles, --amino_acid or --nucleotide")
    encoder = load_encoder(name, *(files if len(files) == 1 else ())).freeze()
    assert encoder.folder is not None
    Reference.from_files(encoder, files).save(encoder.folder / REFERENCE_FILE)
    print(f"{encoder.folder / REFERENCE_FILE} has what {', '.join(files)} sequences are like to {name}")


def write_relatives(wanted: RelativesArguments) -> None:
    """Search a database for the relatives of a protein, and write them after it."""
    from lobster.scoring.families import find_relatives

    check_not_read(wanted.output, wanted.query, wanted.database)
    query = read_protein(wanted.query)
    found = find_relatives(query, wanted.database, wanted.iterations, wanted.evalue)
    records = (f">{name}\n{sequence}\n" for name, sequence in [("query", query), *found])
    opener: Any = gzip.open if wanted.output.endswith(".gz") else open
    with opener(wanted.output, "wt") as stream:
        stream.writelines(records)
    print(f"{wanted.output} has the query and {len(found)} relatives")


def _parse(prog: str, arguments: list[str], *types: Any) -> tuple[Any, ...]:
    parser = HfArgumentParser(types, prog=prog)
    *found, unknown = parser.parse_args_into_dataclasses(arguments, return_remaining_strings=True)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return tuple(found)


if __name__ == "__main__":
    disable_progress_bar()  # transformers' own, one for each file it writes
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt as interruption:
        print(f"\n{interruption or 'stopped'}", file=sys.stderr)
        sys.exit(130)  # what a shell expects of a program that was interrupted
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
