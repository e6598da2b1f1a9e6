"""Making a trained model ready for others: measured on held-out data, with a card, in float16."""

import json
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from lobster.constants import Modality
from lobster.evaluation import policy_perplexity, sample, smiles_metrics, ume_figures
from lobster.model import Ume
from lobster.pretraining.run import TRAINING_FILE, CorpusArguments

_PAIRS_NOTE = """

A pair is a real sequence and a corruption of it, won where the real one has the higher pseudo-likelihood. RDKit accepts
every step of a SMILES's corruption, and both are scored in canonical form; replacements are drawn as often as the tokens come
in training, so many of the results are plausible molecules."""


def publish(folder: str, target: str, corpus: CorpusArguments, sources: str | None = None) -> None:
    """Measure a model that a training command wrote, and write it to ``target`` in float16 with a model card.

    Args:
        folder: The ``output_dir`` of the training.
        target: Where to write it.
        corpus: The files of training (for the unigram baselines) and the held-out files.
        sources: A Markdown file that says where the data came from, to quote in the card.
    """
    training = json.loads((Path(folder) / TRAINING_FILE).read_text())
    is_ume = AutoConfig.from_pretrained(folder).model_type == "ume"
    Path(target).mkdir(parents=True, exist_ok=True)
    figures = _publish_ume(folder, target, corpus) if is_ume else _publish_policy(folder, target, corpus)
    _write_card(Path(target), is_ume, training, figures, Path(sources).read_text() if sources else "")


def _publish_ume(folder: str, target: str, corpus: CorpusArguments) -> str:
    ume = Ume.from_pretrained(folder)
    train = corpus.corpora()
    rows = [
        "| held-out | sequences | pseudo-perplexity | unigram | real against corrupted | pairs won | unigram |",
        "|---|---|---|---|---|---|---|",
    ]
    for modality, sequences in corpus.corpora(heldout=True).items():
        count = 500 if modality is Modality.SMILES else 100  # proteins and genes are ten times as long
        f = ume_figures(ume, modality, train[modality], sequences, count)
        left = f"| {modality} | {f.count} | {f.pseudo_perplexity:.2f} | {f.unigram_perplexity:.2f} |"
        for p in f.pairs:
            rows.append(f"{left} {p.corruption} | {p.won:.1%} of {p.count} | {p.unigram_won:.1%} |")
            left = "| | | | |"
    nn.Module.to(ume.model, torch.float16)
    ume.save_pretrained(target)
    return "\n".join(rows) + _PAIRS_NOTE


def _publish_policy(folder: str, target: str, corpus: CorpusArguments) -> str:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (train,), (heldout,) = corpus.corpora().values(), corpus.corpora(heldout=True).values()
    perplexity, unigram, count = policy_perplexity(model, tokenizer, train[:20000], heldout[:2000])
    m = smiles_metrics(sample(model, tokenizer, 1000))
    nn.Module.to(model, torch.float16)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return (
        f"| figure | policy | unigram |\n|---|---|---|\n| perplexity of a token, {count} held-out molecules "
        f"| {perplexity:.2f} | {unigram:.2f} |\n| validity of 1,000 samples | {m.validity:.1%} | – |\n"
        f"| uniqueness of the valid ones | {m.uniqueness:.1%} | – |\n| internal diversity | {m.internal_diversity:.3f} | – |\n"
        f"| mean length in characters | {m.mean_length:.1f} | – |"
    )


def _write_card(target: Path, is_ume: bool, training: dict, figures: str, sources: str) -> None:
    what = (
        "A Universal Molecular Encoder: a masked language model over SMILES, proteins and nucleotides."
        if is_ume
        else "A Llama-type causal language model that writes SMILES: a policy to start reinforcement learning from."
    )
    stages = [training]
    while stages[0].get("earlier"):
        stages.insert(0, stages[0]["earlier"])
    trained = "\n".join(_stage(stage, is_ume) for stage in stages)
    card = f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: {"fill-mask" if is_ume else "text-generation"}
---

# {target.name}

{what} {training["parameters"]:,} parameters, float16.

## Training

`python -m lobster.pretraining {"ume" if is_ume else "policy"}`:

{trained}

## Held-out figures

{figures}
"""
    (target / "README.md").write_text(card + (f"\n## Data\n\n{sources.strip()}\n" if sources else ""))


def _stage(facts: dict, is_ume: bool) -> str:
    steps, batch = facts["steps"], facts["batch_tokens"]
    drawn = ", ".join(f"{count:,} {Modality(name).value}" for name, count in facts["sequences"].items())
    mixture = f", {facts['mixture']}" if is_ume else ""
    return (
        f"- {steps:,} steps of about {batch:,} tokens ({steps * batch / 1e6:.1f}M in all{mixture}), peak learning rate "
        f"{facts['learning_rate']:g}, drawn from {drawn} sequences"
    )
