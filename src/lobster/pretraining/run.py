"""One training run on top of transformers' Trainer, common to UMEs and policies."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import PreTrainedModel, Trainer, TrainingArguments

from lobster.constants import Modality
from lobster.pretraining.corpus import Batches, read_sequences
from lobster.resume import last_checkpoint

# What a model was trained on, in its output_dir.
TRAINING_FILE = "training.json"


@dataclass
class CorpusArguments:
    """Which sequences to train on. Files are FASTA or one sequence a line, plain or gzipped."""

    smiles: str | None = field(default=None, metadata={"help": "SMILES to train on"})
    amino_acid: str | None = field(default=None, metadata={"help": "proteins to train on"})
    nucleotide: str | None = field(default=None, metadata={"help": "DNA or RNA to train on"})
    heldout_smiles: str | None = field(default=None, metadata={"help": "SMILES to measure on at the end"})
    heldout_amino_acid: str | None = field(default=None, metadata={"help": "proteins to measure on at the end"})
    heldout_nucleotide: str | None = field(default=None, metadata={"help": "DNA or RNA to measure on at the end"})
    mixture: str = field(
        default="smiles=0.6,amino_acid=0.2,nucleotide=0.2", metadata={"help": "share of the steps of each modality"}
    )
    batch_tokens: int = field(default=1536, metadata={"help": "tokens in a step"})

    def corpora(self, heldout: bool = False) -> dict[Modality, list[str]]:
        """Read the files that were named."""
        prefix = "heldout_" if heldout else ""
        named = {modality: getattr(self, prefix + modality.value.lower()) for modality in Modality}
        return {modality: read_sequences(file) for modality, file in named.items() if file}

    def shares(self) -> dict[Modality, float]:
        """Parse the mixture."""
        pairs = (part.split("=") for part in self.mixture.split(","))
        return {Modality(name.strip()): float(share) for name, share in pairs}


@dataclass
class RunArguments(TrainingArguments):
    """TrainingArguments with defaults for small models; every one of transformers' can be given."""

    output_dir: str = "runs/pretraining"  # type: ignore[assignment]
    max_steps: int = 3000
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    adam_beta2: float = 0.98
    warmup_steps: float = 100
    lr_scheduler_type: str = "cosine"
    logging_steps: float = 50
    save_steps: float = 250
    save_total_limit: int | None = 2
    report_to: str = "none"

    def __post_init__(self):
        self.bf16 = torch.cuda.is_available() and not self.use_cpu
        self.per_device_train_batch_size = 1  # an item of the data set is a whole batch
        self.remove_unused_columns = False
        self.dataloader_pin_memory = torch.cuda.is_available()
        self.dataloader_num_workers = self.dataloader_num_workers or 1
        super().__post_init__()


def train(
    model: PreTrainedModel,
    collate: Callable,
    corpora: dict,
    max_length: int,
    corpus: CorpusArguments,
    run: RunArguments,
    start: str | None = None,
) -> None:
    """Train a model, from its last checkpoint in ``output_dir`` if there is one; note what it was trained on.

    Args:
        model: What to train.
        collate: Makes the model's inputs of one item of `Batches`.
        corpora: Sequences of each modality.
        max_length: Longest input in tokens.
        corpus: The mixture and the size of a batch.
        run: Everything else.
        start: Where the model was loaded from, if it is not new.
    """
    world = max(1, run.world_size)
    shares = {m: share for m, share in corpus.shares().items() if m in corpora}
    batches = Batches(corpora, run.max_steps * world, corpus.batch_tokens, max_length, shares, run.seed)
    trainer = Trainer(model=model, args=run, train_dataset=batches, data_collator=lambda items: collate(*items[0]))
    try:
        last = str(last_checkpoint(run.output_dir))
    except FileNotFoundError:
        last = None
    trainer.train(resume_from_checkpoint=run.resume_from_checkpoint or last)
    facts = {
        "parameters": model.num_parameters(),
        "steps": trainer.state.global_step,
        "batch_tokens": corpus.batch_tokens * world,
        "learning_rate": run.learning_rate,
        "mixture": corpus.mixture,
        "earlier": json.loads((Path(start) / TRAINING_FILE).read_text()) if start else None,
        "sequences": {modality.value: len(sequences) for modality, sequences in corpora.items()},
    }
    (Path(run.output_dir) / TRAINING_FILE).write_text(json.dumps(facts, indent=2) + "\n")
