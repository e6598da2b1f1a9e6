"""Training an encoder on to one family of proteins, and keeping it only where it foretells other members better."""

import copy
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import set_seed

from lobster.constants import Modality
from lobster.model import Ume
from lobster.model.policies import load_policy
from lobster.pretraining.run import TRAINING_FILE, check_range
from lobster.pretraining.ume import MaskingCollator
from lobster.resume import alone_in, check_no_model
from lobster.scoring.families import RESIDUES, Profile, alike
from lobster.scoring.reference import REFERENCE_FILE, Reference
from lobster.sequences import read_sequences

_FEWEST = 10  # relatives that count as different, at least
_HELD_OUT = 0.15  # of the different relatives
_HELD_OUT_RESIDUES = 6_000  # at most
_POLICY = "protein-policy-3M"
_WRITTEN = 128  # proteins that it writes
_PATIENCE = 4  # measurements without a better one, after which a run ends


@dataclass
class AdaptArguments:
    """Which encoder to adapt to which family, and how."""

    amino_acid: str = field(metadata={"help": "FASTA of relatives, not aligned, the query first"})
    output_dir: str = field(metadata={"help": "where the encoder goes"})
    start: str = field(default="ume-nano-base-3M", metadata={"help": "encoder to adapt: a name that ships or a folder"})
    replay: str | None = field(
        default=None,
        metadata={"help": f"proteins of all kinds, that it is to find as before ({_WRITTEN} that {_POLICY} writes)"},
    )
    replay_share: float = field(default=0.2, metadata={"help": "share of the steps on those"})
    profile_share: float = field(
        default=0.5, metadata={"help": "share of the family's profile in the targets; the rest is the residue itself"}
    )
    max_steps: int = field(default=300, metadata={"help": "most steps; fewer where it gets no better"})
    batch_tokens: int = field(default=1536, metadata={"help": "tokens in a step"})
    learning_rate: float = field(default=1e-3, metadata={"help": "highest learning rate"})
    eval_steps: int = field(default=25, metadata={"help": "steps between measurements on held-out relatives"})
    seed: int = 0
    device: str | None = field(default=None, metadata={"help": "CUDA where there is one by default"})

    def __post_init__(self) -> None:
        for name in ("max_steps", "batch_tokens", "eval_steps"):
            check_range(self, name, 1)
        for name in ("replay_share", "profile_share"):
            check_range(self, name, 0, 1)
        check_range(self, "learning_rate", 1e-12)


class Family(NamedTuple):
    """Relatives to learn from and to measure on.

    Attributes:
        train: Relatives to learn from, the query first.
        weights: Of each of them, one over how many of them are alike to it.
        heldout: Relatives that none of the others is 80 % identical to.
        profile: The profile of those to learn from.
    """

    train: list[str]
    weights: np.ndarray
    heldout: list[str]
    profile: Profile


def divide(query: str, relatives: Sequence[str], seed: int = 0) -> Family:
    """Hold out some of the relatives of a query, never one that is alike to it, and leave out what is alike to those.

    Raises:
        ValueError: Fewer than ten of them are different.
    """
    sequences = [query, *relatives]
    pairs = alike(Profile.from_relatives(query, relatives).aligned(sequences))
    pairs |= pairs.T
    different = float((1 / pairs.sum(1)).sum()) - 1
    held, residues = list[int](), 0
    for i in np.random.default_rng(seed).permutation(len(sequences)):
        new = not pairs[i, [0, *held]].any()
        if new and (len(held) < 2 or (len(held) < _HELD_OUT * different and residues < _HELD_OUT_RESIDUES)):
            held.append(int(i))
            residues += len(sequences[i])
    if different < _FEWEST or not held:
        raise ValueError(
            f"{len(relatives)} relatives, {different:.0f} of them different, are too few to adapt an encoder to: expected "
            f"{_FEWEST} different ones; reward their profile instead, Component('family', relatives=FILE)"
        )
    kept = np.flatnonzero(~pairs[:, held].any(1))
    train = [sequences[i] for i in kept]
    return Family(
        train,
        1 / pairs[np.ix_(kept, kept)].sum(1),
        [sequences[i] for i in held],
        Profile.from_relatives(query, train[1:]),
    )


class Batch(NamedTuple):
    """Masked sequences, and what is to be said at the masks.

    Attributes:
        inputs: ``input_ids`` and maybe ``attention_mask``, (sequences, length).
        masked: Where the masks are, (sequences, length).
        targets: Probability of each token at each mask, (masks, vocabulary).
    """

    inputs: dict[str, Tensor]
    masked: Tensor
    targets: Tensor


class Batches:
    """Batches of an endless run: relatives by their weights, and now and then proteins of all kinds.

    Of relatives, the targets are the residues themselves and the profile where they are; of other proteins, what the encoder
    said of them at the start, so that it goes on saying it (Li and Hoiem, "Learning without Forgetting", 2016).

    Args:
        ume: The encoder, as it is at the start.
        family: The relatives.
        others: Proteins of all kinds.
        a: Tokens of a batch, the shares of other proteins and of the profile, the seed.
    """

    def __init__(self, ume: Ume, family: Family, others: Sequence[str], a: AdaptArguments):
        self._start, self._a, self._longest = copy.deepcopy(ume.model).eval(), a, ume.max_length - 2
        self._rng = np.random.default_rng(a.seed)
        tokenizer = ume.get_tokenizer(Modality.AMINO_ACID)
        self._collate = MaskingCollator({Modality.AMINO_ACID: tokenizer}, getattr(ume.model.config, "mask_rate", 0.15))
        self._others, self._family = _ids(ume, others), _ids(ume, family.train)
        self._columns = family.profile.columns(family.train)
        self._probability = family.weights / family.weights.sum()
        letters = [row[1] for row in ume.tokenize(list(RESIDUES), Modality.AMINO_ACID)]
        self._emissions = torch.zeros(len(family.profile.emissions), ume.model.config.vocab_size)
        self._emissions[:, letters] = torch.tensor(family.profile.emissions, dtype=torch.float32)

    def draw(self) -> Batch:
        """Return the next batch."""
        return self._other_proteins() if self._rng.random() < self._a.replay_share else self._relatives()

    def _relatives(self) -> Batch:
        chosen = self._windows(self._family, self._probability)
        inputs, masked, labels = self._masked([self._family[i][cut] for i, cut in chosen])
        at = torch.full(masked.shape, -1)
        for row, (i, cut) in zip(at, chosen, strict=True):
            columns = torch.from_numpy(self._columns[i][cut])
            row[1 : 1 + len(columns)] = columns
        share = self._a.profile_share * (at[masked] >= 0).float()[:, None]
        themselves = nn.functional.one_hot(labels, self._emissions.shape[1]).float()
        return Batch(inputs, masked, (1 - share) * themselves + share * self._emissions[at[masked]])

    @torch.no_grad()
    def _other_proteins(self) -> Batch:
        even = np.full(len(self._others), 1 / len(self._others))
        inputs, masked, _ = self._masked([self._others[i][cut] for i, cut in self._windows(self._others, even)])
        on = {name: tensor.to(self._start.device) for name, tensor in inputs.items()}
        return Batch(inputs, masked, self._start(**on).logits[masked].float().softmax(-1).cpu())

    def _windows(self, ids: list[np.ndarray], probability: np.ndarray) -> list[tuple[int, slice]]:
        """Choose sequences, and of one that is too long a window."""
        chosen, tokens = list[tuple[int, slice]](), 0
        while tokens < self._a.batch_tokens:
            i = int(self._rng.choice(len(ids), p=probability))
            start = int(self._rng.integers(max(1, len(ids[i]) - self._longest + 1)))
            chosen.append((i, slice(start, start + self._longest)))
            tokens += min(len(ids[i]), self._longest)
        return chosen

    def _masked(self, ids: list[np.ndarray]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        inputs = self._collate(Modality.AMINO_ACID, ids, self._rng)
        labels = inputs.pop("labels")
        return inputs, labels != -100, labels[labels != -100]


def adapt(a: AdaptArguments) -> Ume:
    """Adapt an encoder to a family, and save it; the start itself where it foretells held-out relatives as well.

    What the encoder that was saved, the start and the family's profile make of the held-out relatives is told and written to
    `TRAINING_FILE`, in nats a residue.

    Raises:
        ValueError: There are too few relatives.
        FileExistsError: ``output_dir`` holds a model, or a run is at work in it.
    """
    check_no_model(a.output_dir)
    with alone_in(a.output_dir):
        return _adapt(a)


def _adapt(a: AdaptArguments) -> Ume:
    set_seed(a.seed)
    ume = Ume.from_pretrained(a.start, device=a.device)
    query, *relatives = read_sequences(a.amino_acid)
    family = divide(query, relatives, a.seed)
    others = read_sequences(a.replay) if a.replay else written_proteins(_WRITTEN, a.seed)
    figures = {
        "start": surprise(ume, family.heldout),
        "profile": -float(np.concatenate(family.profile.log_probabilities(family.heldout)).mean()),
    }
    print(f"{len(family.train)} relatives to learn from, {len(family.heldout)} held out", flush=True)
    figures["adapted"], step = _train(ume, family, Batches(ume, family, others, a), figures["start"], a)
    if step == 0:
        print("adapting made it no better on held-out relatives: the start is kept", flush=True)
    told = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    print(f"held-out relatives, nats a residue: {told}", flush=True)
    ume.freeze().save_pretrained(a.output_dir)
    _save_reference(ume, family, step > 0, Path(a.output_dir))
    facts = asdict(a) | {
        "relatives": len(family.train),
        "heldout": len(family.heldout),
        "kept_step": step,
        "heldout_nats": {name: round(value, 4) for name, value in figures.items()},
    }
    (Path(a.output_dir) / TRAINING_FILE).write_text(json.dumps(facts, indent=2) + "\n")
    return ume


def _save_reference(ume: Ume, family: Family, adapted: bool, folder: Path) -> None:
    """Write what is natural to the encoder that was saved: what the start knows of it, or else the family itself."""
    if not adapted:
        if ume.folder and (known := ume.folder / REFERENCE_FILE).is_file():
            shutil.copy(known, folder)
        return
    try:
        reference = Reference.of(ume, {Modality.AMINO_ACID: [*family.train, *family.heldout]})
    except ValueError as error:
        print(f"no reference is written, so that scores say nothing of naturalness: {error}", flush=True)
    else:
        reference.save(folder / REFERENCE_FILE)


def surprise(ume: Ume, sequences: Sequence[str]) -> float:
    """Return the mean of −log p(residue | rest) over the residues of some proteins, in nats."""
    found = ume.token_log_probabilities(sequences, Modality.AMINO_ACID, errors="null", long_sequences="windows")
    return -float(np.concatenate(found).mean())


def _train(ume: Ume, family: Family, batches: Batches, best: float, a: AdaptArguments) -> tuple[float, int]:
    """Train until held-out relatives are foretold no better; leave the best weights, return its figure and step."""
    kept, state, since = 0, copy.deepcopy(ume.model.state_dict()), 0
    ume.unfreeze()
    if getattr(ume.model.config, "counts_codons", False):  # as in `train_ume`
        ume.model.embeddings.requires_grad_(False)
        ume.model.layers[0].requires_grad_(False)
    weights = [p for p in ume.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=a.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(1, a.max_steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = a.learning_rate * _schedule(step, a.max_steps)
        batch = batches.draw()
        inputs = {name: tensor.to(ume.device) for name, tensor in batch.inputs.items()}
        logits = ume.model(**inputs).logits[batch.masked.to(ume.device)]
        loss = nn.functional.cross_entropy(logits.float(), batch.targets.to(ume.device))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss is {value} at step {step}: lower --learning_rate")
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % a.eval_steps == 0 or step == a.max_steps:
            figure = surprise(ume, family.heldout)
            print(f"step {step}/{a.max_steps}  loss {value:.3f}  held-out {figure:.3f} nats", flush=True)
            since += 1
            if figure < best:
                best, kept, state, since = figure, step, copy.deepcopy(ume.model.state_dict()), 0
            if since == _PATIENCE:
                break
    ume.model.load_state_dict(state)
    return best, kept


def _schedule(step: int, steps: int) -> float:
    """Return the share of the highest learning rate: a short rise, then half a cosine."""
    return min(1.0, step / 20) * (0.5 + 0.5 * math.cos(math.pi * (step - 1) / steps))


def written_proteins(count: int, seed: int = 0) -> list[str]:
    """Return proteins that the starting policy writes."""
    model, tokenizer = load_policy(_POLICY)
    inputs = tokenizer([""] * count, return_tensors="pt")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        rows = model.eval().generate(**inputs, do_sample=True, top_k=0, max_new_tokens=126)
    texts = tokenizer.batch_decode(rows, skip_special_tokens=True)
    return [text.replace(" ", "") for text in texts if len(text) >= 20]


def _ids(ume: Ume, sequences: Sequence[str]) -> list[np.ndarray]:
    rows = ume.read(sequences, Modality.AMINO_ACID, long_sequences="windows")
    return [np.array(row[1:-1]) for row in rows if row]
