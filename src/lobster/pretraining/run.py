"""One training run, common to UMEs and policies: a loop over batches with checkpoints, and nothing that needs more than torch."""

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from lobster.constants import Modality
from lobster.device import peak_flops, resolve_device
from lobster.model.checkpoints import find_model
from lobster.pretraining.batches import Batches
from lobster.pretraining.corpus import CorpusError, cached_corpora
from lobster.resume import (
    SETTINGS_FILE,
    alone_in,
    check_no_model,
    checkpoints,
    differences,
    last_checkpoint,
    told_when_full,
    told_when_interrupted,
)

TRAINING_FILE = "training.json"  # what a model was trained on and how it went, in its output_dir
RESUME = "the same command again"
# What a run is measured, saved and executed with changes nothing of what it learns.
_INCIDENTAL = ("output_dir", "cache", "cache_megabytes", "device", "logging_steps", "eval_steps", "save_steps", "start")
_HELDOUT_BATCHES = 16  # of each modality

Tokenize = Callable[[Modality, list[str]], list[list[int]]]
Collate = Callable[..., dict[str, Tensor]]


@dataclass
class CorpusArguments:
    """Which sequences to train on. Files are FASTA or one sequence a line, plain or gzipped."""

    smiles: str | None = field(default=None, metadata={"help": "SMILES to train on"})
    amino_acid: str | None = field(default=None, metadata={"help": "proteins to train on"})
    nucleotide: str | None = field(default=None, metadata={"help": "DNA or RNA to train on"})
    heldout_smiles: str | None = field(default=None, metadata={"help": "SMILES to measure on"})
    heldout_amino_acid: str | None = field(default=None, metadata={"help": "proteins to measure on"})
    heldout_nucleotide: str | None = field(default=None, metadata={"help": "DNA or RNA to measure on"})
    mixture: str = field(
        default="smiles=1,amino_acid=1,nucleotide=1", metadata={"help": "share of the steps of each modality"}
    )
    cache: str | None = field(
        default=None, metadata={"help": "folder of the tokenised corpora, made if absent (OUTPUT_DIR/cache)"}
    )
    cache_megabytes: float = field(default=45, metadata={"help": "most that the cache may take"})

    def __post_init__(self) -> None:
        check_range(self, "cache_megabytes", 0.001)

    def files(self, heldout: bool = False) -> dict[Modality, str]:
        """Return the files that were named."""
        prefix = "heldout_" if heldout else ""
        named = {modality: getattr(self, prefix + modality.value.lower()) for modality in Modality}
        return {modality: file for modality, file in named.items() if file}

    def shares(self) -> dict[Modality, float]:
        """Parse the mixture.

        Raises:
            CorpusError: It does not read ``modality=number,…``.
        """
        try:
            pairs = (part.split("=") for part in self.mixture.split(","))
            return {Modality(name.strip()): float(share) for name, share in pairs}
        except ValueError as error:
            raise CorpusError(f"mixture {self.mixture!r} is not like 'smiles=2,amino_acid=1': {error}") from error


@dataclass
class RunArguments:
    """How to train."""

    output_dir: str = field(default="runs/pretraining", metadata={"help": "where the model and its checkpoints go"})
    start: str | None = field(default=None, metadata={"help": "model to go on from: a name that ships or a folder"})
    max_steps: int = field(default=3000, metadata={"help": "steps of the run; the learning rate ends at 0"})
    batch_tokens: int = field(default=1536, metadata={"help": "tokens in a step"})
    learning_rate: float = field(default=1e-3, metadata={"help": "highest learning rate"})
    warmup_steps: int = field(default=100, metadata={"help": "steps in which the learning rate rises from 0"})
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    logging_steps: int = 50
    eval_steps: int = field(default=500, metadata={"help": "steps between measurements on the held-out files"})
    save_steps: int = field(default=250, metadata={"help": "steps between checkpoints; the last two are kept"})
    seed: int = 0
    device: str | None = field(default=None, metadata={"help": "CUDA where there is one by default"})

    def __post_init__(self) -> None:
        for name in ("max_steps", "batch_tokens", "logging_steps", "eval_steps", "save_steps"):
            check_range(self, name, 1)
        check_range(self, "learning_rate", 1e-12)
        check_range(self, "warmup_steps", 0)
        check_range(self, "max_grad_norm", 1e-12)


def check_range(arguments: Any, name: str, least: float, most: float = math.inf) -> None:
    """Check a number among arguments.

    Raises:
        ValueError: It is out of its range.
    """
    if not least <= (value := getattr(arguments, name)) <= most:
        upper = "" if math.isinf(most) else f" and at most {most:g}"
        raise ValueError(f"{name} is {value}: expected at least {least:g}{upper}")


def train(
    model: PreTrainedModel,
    tokenize: Tokenize,
    collate: Collate,
    max_length: int,
    corpus: CorpusArguments,
    run: RunArguments,
) -> None:
    """Train a model, from its last checkpoint in ``output_dir`` if there is one; note how in `TRAINING_FILE`.

    bfloat16 autocast and compiled layers on a GPU, float32 on a CPU. The batches follow from the seed and the number of
    the step, so a run that was cut short and resumed ends where an unbroken one does.

    Args:
        model: What to train.
        tokenize: Makes token ids without special tokens of a modality's sequences.
        collate: Makes the model's inputs of one item of `Batches`.
        max_length: Longest input in tokens, two special tokens included.
        corpus: The files, the mixture and the cache.
        run: Everything else.

    Raises:
        CorpusError: No file was named, or one has no sequence of its modality, or leaves nothing to train on.
        FileExistsError: ``output_dir`` holds a model of another origin, or a run is at work in it.
        FloatingPointError: The loss is no longer finite.
    """
    folder = Path(run.output_dir)
    if not corpus.files():
        raise CorpusError("there is no file to train on: name one with --smiles, --amino_acid or --nucleotide")
    if not checkpoints(folder) and not (folder / TRAINING_FILE).is_file():
        check_no_model(folder)
    with alone_in(folder):
        _train_in(folder, model, tokenize, collate, max_length, corpus, run)


def _train_in(
    folder: Path,
    model: PreTrainedModel,
    tokenize: Tokenize,
    collate: Collate,
    max_length: int,
    corpus: CorpusArguments,
    run: RunArguments,
) -> None:
    """Train in a folder that is this run's alone."""
    files, shares = corpus.files(), corpus.shares()
    earlier = _history(run.start) if run.start else None
    settings = {name: value for name, value in (asdict(corpus) | asdict(run)).items() if name not in _INCIDENTAL}
    cache = Path(corpus.cache) if corpus.cache else folder / "cache"
    total = sum(shares.get(m, 0.0) for m in files) or 1.0
    budget = {m: math.ceil(run.max_steps * run.batch_tokens * shares.get(m, 0.0) / total) + 1 for m in files}
    corpora = cached_corpora(cache, files, tokenize, budget, int(corpus.cache_megabytes * 1e6), run.seed)
    heldout = _heldout(cache / "heldout", corpus.files(heldout=True), tokenize, max_length, run)
    batches = Batches(corpora, run.max_steps, run.batch_tokens, max_length, shares, run.seed)

    device = resolve_device(run.device)
    nn.Module.to(model, device)
    cuda = device.type == "cuda"
    if cuda:
        for layer in _layers(model):
            layer.compile(dynamic=True)  # not the whole model: the masked positions are as many as they are
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=run.learning_rate, betas=(0.9, 0.98), weight_decay=run.weight_decay, fused=True
    )
    first = step = _resume(folder, model, optimizer, settings)
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(first, run.max_steps),
        collate_fn=lambda item: collate(*item),
        num_workers=4 if cuda else 0,
        pin_memory=cuda,
    )
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=cuda)
    speed = Speed(model, peak_flops(device, torch.bfloat16 if cuda else torch.float32))
    losses: list[Tensor] = []
    figures: dict[Modality, float] = {}
    model.train()
    with told_when_interrupted(folder, lambda: step, RESUME), told_when_full(folder, how=RESUME):
        for batch in loader:
            inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
            for group in optimizer.param_groups:
                group["lr"] = run.learning_rate * _schedule(step, run)
            with autocast:
                loss = model(**inputs).loss
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), run.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            losses.append(loss.detach())
            speed.count(batch)  # on the CPU: counting on a GPU would wait for it at every step
            last = step == run.max_steps
            saving = last or step % run.save_steps == 0
            if saving or step % run.logging_steps == 0:
                mean = float(torch.stack(losses).mean())
                if not math.isfinite(mean):
                    raise FloatingPointError(f"the loss is {mean} at step {step}: resume with a lower --learning_rate")
                losses.clear()
                print(f"step {step}/{run.max_steps}  loss {mean:.3f}  {speed.report()}", flush=True)
            if heldout and (last or step % run.eval_steps == 0):
                with speed.paused(), autocast:
                    figures = {m: _mean_loss(model, b, collate) for m, b in heldout.items()}
                told = ", ".join(f"{modality} {math.exp(figure):.3f}" for modality, figure in figures.items())
                print(f"step {step}  held-out perplexity  {told}", flush=True)
            if saving:
                with speed.paused():
                    _save(folder, step, model, optimizer, settings)
    if step == first and (folder / TRAINING_FILE).is_file():
        print(f"the run in {folder} had ended at step {step}: nothing is trained", flush=True)
        return
    facts = {
        "parameters": model.num_parameters(),
        "steps": run.max_steps,
        "batch_tokens": run.batch_tokens,
        "learning_rate": run.learning_rate,
        "mixture": corpus.mixture,
        "sequences": {modality.value: len(found) for modality, found in corpora.items()},
        "heldout_perplexity": {modality.value: round(math.exp(figure), 3) for modality, figure in figures.items()},
        **(speed.summary() if step > first else {}),
        "earlier": earlier,
    }
    (folder / TRAINING_FILE).write_text(json.dumps(facts, indent=2) + "\n")


class Speed:
    """Tokens a second of a run, and the share that its matrix products have of the device's peak.

    FLOPs counted are 6 a weight and token (2 forward, 4 backward), the weights of the head at labelled positions alone, and
    those of attention, 12·d·length a token and layer; a third of it for a frozen layer; real tokens only (Chowdhery et al.,
    "PaLM", 2022, appendix B).
    """

    def __init__(self, model: Any, peak: float):
        layers = _layers(model)
        matrices = [p for p in layers.parameters() if p.ndim == 2]
        self._layer_flops = sum((6 if p.requires_grad else 2) * p.numel() for p in matrices)
        embedding = model.get_input_embeddings().weight.numel()
        weights = sum(p.numel() for p in model.parameters() if p.ndim == 2)
        self._head_flops = 6 * (weights - sum(p.numel() for p in matrices) - embedding)
        trained = [all(p.requires_grad for p in layer.parameters()) for layer in layers]
        self._attention = sum(12 if it else 4 for it in trained) * model.config.hidden_size
        self._peak = peak
        self._tokens = self._flops = 0.0
        self._totals = [0.0, 0.0, 0.0]
        self._start = time.perf_counter()

    def count(self, inputs: Mapping[str, Tensor]) -> None:
        """Take note of a step."""
        rows, length = inputs["input_ids"].shape
        tokens = int(inputs["attention_mask"].sum()) if "attention_mask" in inputs else rows * length
        predicted = int((inputs["labels"] != -100).sum())
        self._tokens += tokens
        self._flops += self._layer_flops * tokens + self._head_flops * predicted
        self._flops += self._attention * length * tokens

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out what is done meanwhile."""
        start = time.perf_counter()
        yield
        self._start += time.perf_counter() - start

    def report(self) -> str:
        """Say how fast it was since the last report."""
        seconds = time.perf_counter() - self._start
        for i, amount in enumerate((self._tokens, self._flops, seconds)):
            self._totals[i] += amount
        text = f"{self._tokens / seconds:,.0f} tokens/s  {self._flops / seconds / self._peak:.0%} of the matmul peak"
        self._tokens = self._flops = 0.0
        self._start = time.perf_counter()
        return text

    def summary(self) -> dict[str, float]:
        """Return the figures of all reports together."""
        tokens, flops, seconds = self._totals
        return {"tokens_per_second": round(tokens / seconds), "share_of_peak": round(flops / seconds / self._peak, 3)}


def _history(start: str) -> dict | None:
    """Return how a model was trained that this command made; None of one from elsewhere."""
    file = find_model(start) / TRAINING_FILE
    return json.loads(file.read_text()) if file.is_file() else None


def _layers(model: Any) -> nn.ModuleList:
    return model.layers if hasattr(model, "layers") else model.model.layers


def _schedule(step: int, run: RunArguments) -> float:
    """Return the share of the highest learning rate: linear warm-up, then half a cosine down to 0."""
    if step < run.warmup_steps:
        return (step + 1) / run.warmup_steps
    return 0.5 + 0.5 * math.cos(math.pi * (step - run.warmup_steps) / max(1, run.max_steps - run.warmup_steps))


def _heldout(
    folder: Path, files: Mapping[Modality, str], tokenize: Tokenize, max_length: int, run: RunArguments
) -> dict[Modality, Batches]:
    """Choose the same few batches of each held-out file every time."""
    if not files:
        return {}
    tokens = _HELDOUT_BATCHES * run.batch_tokens
    corpora = cached_corpora(folder, files, tokenize, dict.fromkeys(files, tokens), len(files) * 2 * tokens, run.seed)
    return {
        m: Batches({m: c}, _HELDOUT_BATCHES, run.batch_tokens, max_length, seed=run.seed) for m, c in corpora.items()
    }


@torch.no_grad()
def _mean_loss(model: PreTrainedModel, batches: Batches, collate: Collate) -> float:
    """Return the mean cross-entropy, in nats, over the labelled tokens of some batches."""
    model.eval()
    total, count = 0.0, 0
    for i in range(len(batches)):
        inputs = {name: tensor.to(model.device) for name, tensor in collate(*batches[i]).items()}
        labels = int((inputs["labels"] != -100).sum())
        total += float(model(**inputs).loss) * labels
        count += labels
    model.train()
    return total / count


def _save(
    folder: Path, step: int, model: PreTrainedModel, optimizer: torch.optim.Optimizer, settings: dict[str, Any]
) -> None:
    """Write a checkpoint, which is whole once its trainer_state.json is there; keep the last two."""
    target = folder / f"{PREFIX_CHECKPOINT_DIR}-{step}"
    with told_when_full(folder, lambda: target, 4 * model.num_parameters(), RESUME):
        model.save_pretrained(target)
        torch.save(optimizer.state_dict(), target / "optimizer.pt")
        (target / SETTINGS_FILE).write_text(json.dumps(settings, indent=1) + "\n")
        (target / "trainer_state.json").write_text(json.dumps({"global_step": step}) + "\n")
    by_step = sorted(folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"), key=lambda f: int(f.name.rpartition("-")[2]))
    for old in by_step[:-2]:
        shutil.rmtree(old)


def _resume(folder: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer, settings: dict[str, Any]) -> int:
    """Load the last whole checkpoint, if there is one; return its step, else 0. Say what it was trained otherwise with.

    Raises:
        ValueError: It is of another model.
    """
    try:
        last = last_checkpoint(folder)
    except FileNotFoundError:
        return 0
    try:
        model.load_state_dict(load_file(last / "model.safetensors", str(model.device)))
    except RuntimeError as error:
        raise ValueError(f"{last} is of another model than this run's: choose another --output_dir") from error
    optimizer.load_state_dict(torch.load(last / "optimizer.pt", map_location=model.device, weights_only=True))
    then = json.loads((last / SETTINGS_FILE).read_text())
    changed = ", ".join(differences(then, settings))
    print(f"resuming from {last}" + (f" with other settings: {changed}" if changed else ""), flush=True)
    return json.loads((last / "trainer_state.json").read_text())["global_step"]
