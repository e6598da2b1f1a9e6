"""Command line: `python -m lobster.pretraining ume|policy|vocabulary …`; `--help` after each lists its arguments."""

import sys
from dataclasses import dataclass, field

from transformers import HfArgumentParser

from lobster.model.configuration import SIZES
from lobster.pretraining.corpus import CorpusError, read_sequences
from lobster.pretraining.policy import train_policy
from lobster.pretraining.run import CorpusArguments, RunArguments
from lobster.pretraining.ume import train_ume
from lobster.tokenization import smiles_tokens

USAGE = """usage: python -m lobster.pretraining COMMAND [arguments]

  ume         train an encoder:   --smiles F --amino_acid F --nucleotide F --output_dir D [--size mini]
  policy      train a policy:     --smiles F --output_dir D
  vocabulary  print the SMILES vocabulary of a corpus:  FILE

COMMAND --help lists every argument. A run that was cut short goes on from its last checkpoint.
"""


@dataclass
class ModelArguments:
    """Which model to train."""

    size: str = field(default="mini", metadata={"help": "size of the UME", "choices": list(SIZES)})


def main(arguments: list[str]) -> None:
    """Run one command."""
    match arguments:
        case ["ume", *rest]:
            model, corpus, run = HfArgumentParser((ModelArguments, CorpusArguments, RunArguments)).parse_args_into_dataclasses(rest)
            train_ume(model.size, corpus, run)
        case ["policy", *rest]:
            corpus, run = HfArgumentParser((CorpusArguments, RunArguments)).parse_args_into_dataclasses(rest)
            train_policy(corpus, run)
        case ["vocabulary", file]:
            print("\n".join(smiles_tokens(read_sequences(file))))
        case _:
            sys.exit(USAGE)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (CorpusError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
