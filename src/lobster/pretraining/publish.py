"""Making a trained model ready for others: in float16, with a card that says how it was made and what it knows."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from lobster.constants import Modality
from lobster.model import Ume
from lobster.pretraining.corpus import CorpusError
from lobster.pretraining.run import TRAINING_FILE


def publish(folder: str, target: str, scorecard: str, sources: str | None = None) -> None:
    """Write a model that a training command made to ``target``, in float16 with a model card.

    Args:
        folder: The ``output_dir`` of the training.
        target: Where to write it.
        scorecard: File with the output of ``python -m lobster.evaluation`` for this model, quoted in the card.
        sources: A Markdown file that says where the data came from, quoted in the card.

    Raises:
        CorpusError: The scorecard is not one.
        FileNotFoundError: One of the files is not there.
    """
    training = json.loads((Path(folder) / TRAINING_FILE).read_text())
    tables, _, figures = Path(scorecard).read_text().strip().rpartition("\n")
    if not figures.startswith('{"model"'):
        raise CorpusError(
            f"{scorecard} does not end with the JSON of python -m lobster.evaluation: give its whole output"
        )
    config = AutoConfig.from_pretrained(folder)
    is_ume = config.model_type == "ume"
    Path(target).mkdir(parents=True, exist_ok=True)
    if is_ume:
        ume = Ume.from_pretrained(folder, device="cpu")
        nn.Module.to(ume.model, torch.float16)
        ume.save_pretrained(target)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16)
        model.save_pretrained(target)
        AutoTokenizer.from_pretrained(folder).save_pretrained(target)
    shutil.copy(Path(folder) / TRAINING_FILE, target)
    data = Path(sources).read_text() if sources else ""
    (Path(target) / "README.md").write_text(_card(Path(target).name, config, training, tables.strip(), data.strip()))


def _card(name: str, config: Any, training: dict, tables: str, data: str) -> str:
    is_ume = config.model_type == "ume"
    [*_, written] = training["sequences"]
    what = (
        "A Universal Molecular Encoder: a masked language model over SMILES, proteins and nucleotides."
        if is_ume
        else f"A Llama-type causal language model that writes {_PLURAL[Modality(written)]}: a policy to start reinforcement "
        "learning from."
    )
    if getattr(config, "counts_codons", False):
        what += " It counts codons from the first base on: give it coding sequences in frame."
    stages = [training]
    while stages[0].get("earlier"):
        stages.insert(0, stages[0]["earlier"])
    trained = "\n".join(_stage(stage, is_ume) for stage in stages)
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: {"fill-mask" if is_ume else "text-generation"}
---

# {name}

{what}

{training["parameters"]:,} parameters, float16.

## Training

`python -m lobster.pretraining {"ume" if is_ume else "policy"}`:

{trained}

## Held-out figures

`python -m lobster.evaluation {"ume" if is_ume else "policy"} {name}`:

{tables}
{f"{chr(10)}## Data{chr(10)}{chr(10)}{data}{chr(10)}" if data else ""}"""


_PLURAL = {Modality.SMILES: "SMILES", Modality.AMINO_ACID: "proteins", Modality.NUCLEOTIDE: "coding sequences"}


def _stage(facts: dict, is_ume: bool) -> str:
    steps, batch = facts["steps"], facts["batch_tokens"]
    drawn = ", ".join(f"{count:,} {_PLURAL[Modality(name)]}" for name, count in facts["sequences"].items())
    mixture = f", {facts['mixture']}" if is_ume else ""
    earlier = facts.get("earlier") or facts
    widened = (
        f"widened from {earlier['parameters']:,} parameters, " if earlier["parameters"] < facts["parameters"] else ""
    )
    return (
        f"- {widened}{steps:,} steps of about {batch:,} tokens ({steps * batch / 1e6:.1f}M in all{mixture}), peak learning "
        f"rate {facts['learning_rate']:g}, drawn from {drawn}"
    )
