"""Can a student give in one pass what masking gives in K? Trains one, and prints as it goes how well it ranks. JSON lines.

OMP_NUM_THREADS=1 python benchmarks/single_pass.py --data DATA --modalities SMILES --steps 250 --batch 1024 --every 50
python benchmarks/single_pass.py --data DATA --device cuda --steps 5000 --batch 32768 --learning_rate 1e-3     # a GPU's

The student starts as a copy of the encoder and reads sequences as they are. It learns, by cross-entropy, what the encoder says of
each token with every K-th masked (`--passes`), and the mean of that over a sequence, by its square. Half of what it reads has random tokens
in some places: a student that copies what it sees would find them likely. Students:

- ``queries``: a mask for each token, behind the sequence, which attends to all tokens but its own. Twice the tokens of one pass.
- ``logits``: its logits at tokens that it sees.
- ``value``: one number a token, log p itself, by a new linear layer ("one fell swoop", Kantroo et al. 2024).

It is judged by Spearman's correlation of sequences' log scores with those of exact masking, on held-out sequences, on spoiled copies
of them, on what the policy that ships writes, and on all three together; `masked` are the same figures of K masked passes, and
step 0 those of the student before it learns. Exact scores of genes take long: `--reference 16` takes 16 passes in their place.
"""

import argparse
import copy
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from measuring import FILES
from torch import Tensor, nn

from lobster.constants import Modality
from lobster.evaluation.sampling import sample
from lobster.evaluation.scorecard import CORRUPTIONS, spearman
from lobster.evaluation.scorecard import FILES as CORPORA
from lobster.model import Ume, UmeForMaskedLM
from lobster.model.policies import load_policy
from lobster.model.pseudo_likelihood import Method
from lobster.sequences import normal_form, read_sequences

POLICIES = dict(zip(Modality, ("smiles-policy-3M", "protein-policy-3M", "coding-policy-3M"), strict=True))
LONGEST = dict(zip(Modality, (100, 126, 240), strict=True))  # letters
MEAN_WEIGHT = 10  # of the squared error of a sequence's mean
Rows = dict[str, list[list[int]]]
Scores = dict[str, np.ndarray]


class Student(nn.Module):
    """A copy of an encoder's network that gives log p(token | rest) at tokens that it sees."""

    def __init__(self, teacher: UmeForMaskedLM, kind: str, mask_token_id: int):
        super().__init__()
        self.network, self.kind, self.mask_token_id = copy.deepcopy(teacher), kind, mask_token_id
        self.network.requires_grad_(True)
        self.value = nn.Linear(teacher.config.hidden_size, 1)

    def forward(self, ids: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return of sequences of one length their own tokens' distributions, (n, own, vocabulary), and log p, (n, own)."""
        x = self.network.embeddings(ids, None)
        length, seen = ids.shape[1], None
        if self.kind == "queries":
            x = torch.cat([x, self.network.embeddings(torch.full_like(ids, self.mask_token_id), None)], 1)
            eye = torch.eye(length, dtype=torch.bool, device=ids.device)
            seen = torch.cat([torch.cat([eye | True, eye & False], 1), torch.cat([~eye, eye], 1)])
        states = self.network.head(self.network._through_layers(x, seen, None)[:, -length:][:, 1:-1])
        if self.kind == "value":
            return None, -nn.functional.softplus(self.value(states)[..., 0])
        log_p = self.network.decoder(states).log_softmax(-1)
        return log_p, log_p.gather(-1, ids[:, 1:-1, None])[..., 0]


@torch.inference_mode()
def masked(teacher: UmeForMaskedLM, ids: Tensor, mask_token_id: int, passes: int) -> Tensor:
    """Return the encoder's log-probabilities of sequences of one length with every K-th token masked, (n, own, vocabulary)."""
    found = torch.empty(len(ids), ids.shape[1] - 2, teacher.config.vocab_size, device=ids.device)
    for first in range(min(passes, found.shape[1])):
        at = torch.zeros(ids.shape, dtype=torch.bool, device=ids.device)
        at[:, 1 + first : -1 : passes] = True
        logits = teacher.predict(teacher.encode(ids.masked_fill(at, mask_token_id), None, at))
        found[:, first::passes] = logits.float().log_softmax(-1).view(len(ids), -1, found.shape[2])
    return found


def batches(rows: Sequence[Sequence[int]], tokens: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield batches of one length without end, each token as often as the others."""
    groups = defaultdict(list)
    for row in rows:
        groups[len(row)].append(row)
    arrays = [np.array(group) for group in groups.values()]
    shares = np.array([group.size for group in arrays]) / sum(group.size for group in arrays)
    while True:
        group = arrays[rng.choice(len(arrays), p=shares)]
        yield group[rng.permutation(len(group))[: max(1, tokens // group.shape[1])]].copy()


def spoil(ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replace up to half of the tokens of every other sequence by tokens of the batch."""
    own = ids[:, 1:-1]
    rates = rng.uniform(0, 0.5, (len(ids), 1)) * rng.integers(2, size=(len(ids), 1))
    own[...] = np.where(rng.random(own.shape) < rates, rng.choice(own.ravel(), own.shape), own)
    return ids


def judged(ume: Ume, modality: Modality, data: Path, count: int, reference: Method) -> tuple[Rows, Scores, dict]:
    """Return sets of sequences that the student has not seen, their log scores, and how K passes rank them."""
    rng = np.random.default_rng(0)
    heldout = [s for s in read_sequences(data / FILES[modality]) if len(s) <= LONGEST[modality]]
    heldout = [heldout[i] for i in rng.permutation(len(heldout))[:count]]
    written = sample(*load_policy(POLICIES[modality]), 2 * count)
    written = [s for text in written if (s := normal_form(text, modality)) and len(s) <= LONGEST[modality]]
    corrupt = next(iter(CORRUPTIONS[modality].values()))
    spoiled = [other for s in heldout if (other := corrupt(s, rng))]
    texts = {"held-out": heldout, "spoiled": spoiled, "policy": written[:count]}

    def scores(method: Method) -> Scores:
        return {n: np.log(ume.compute_pseudo_likelihood(some, modality, method=method)) for n, some in texts.items()}

    exact = scores(reference)
    ids = {name: ume.tokenize(some, modality) for name, some in texts.items()}
    return ids, exact, {f"K={k}": agreement(scores(k), exact) for k in (2, 3, 4, 8)}


def agreement(found: Scores, exact: Scores) -> dict[str, float]:
    """Return Spearman's correlation of log scores, set by set and over all."""
    together = spearman(np.concatenate(list(found.values())), np.concatenate(list(exact.values())))
    return {name: round(spearman(found[name], exact[name]), 3) for name in found} | {"all": round(together, 3)}


@torch.inference_mode()
def log_scores(student: Student, rows: Sequence[Sequence[int]], device: torch.device) -> np.ndarray:
    """Return the student's log scores of sequences."""
    found = np.zeros(len(rows))
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for _, run in groupby(order, key=lambda i: len(rows[i])):
        members = list(run)
        found[members] = student(torch.tensor([rows[i] for i in members], device=device))[1].mean(1).cpu().numpy()
    return found


def main() -> None:
    """Train, and judge on the way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ume", default="ume-nano-base-3M")
    parser.add_argument("--device")
    parser.add_argument("--modalities", nargs="+", type=Modality, default=list(Modality))
    parser.add_argument("--student", choices=["queries", "logits", "value"], default="queries")
    parser.add_argument("--passes", type=int, default=8, help="of the encoder, for what the student learns")
    parser.add_argument("--reference", type=lambda k: int(k) if k.isdigit() else k, default="exact")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--batch", type=int, default=1024, help="tokens")
    parser.add_argument("--learning_rate", type=float, default=3e-4)
    parser.add_argument("--every", type=int, default=50, help="steps between two judgements")
    parser.add_argument("--count", type=int, default=100, help="sequences of each set")
    parser.add_argument("--output", type=Path, help="folder for the student's network")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    ume = Ume.from_pretrained(arguments.ume, device=arguments.device).freeze()
    mask = ume.get_tokenizer(arguments.modalities[0]).mask_token_id
    student = Student(ume.model, arguments.student, mask).to(ume.device)
    sets, streams = {}, []
    for modality in arguments.modalities:
        sets[modality] = judged(ume, modality, arguments.data, arguments.count, arguments.reference)
        print(json.dumps({"modality": modality, "masked": sets[modality][2]}), flush=True)
        train = [s for s in read_sequences(arguments.data / CORPORA[modality][0]) if len(s) <= LONGEST[modality]]
        kept = [train[i] for i in rng.permutation(len(train))[: arguments.steps * arguments.batch // 20]]
        streams.append(batches(ume.tokenize(kept, modality), arguments.batch, rng))
    optimizer = torch.optim.AdamW(student.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, arguments.learning_rate, arguments.steps + 1, pct_start=0.05, cycle_momentum=False
    )
    seen, start = 0, time.process_time()
    for step in range(arguments.steps + 1):
        if step % arguments.every == 0:
            student.eval()
            for modality, (rows, exact, _) in sets.items():
                found = {name: log_scores(student, some, ume.device) for name, some in rows.items()}
                row = {"step": step, "sequences": seen, "CPU s": round(time.process_time() - start)}
                print(json.dumps(row | {"modality": modality, "single": agreement(found, exact)}), flush=True)
            student.train()
        ids = torch.from_numpy(spoil(next(streams[step % len(streams)]), rng)).to(ume.device)
        target = masked(ume.model, ids, mask, arguments.passes)
        true = target.gather(-1, ids[:, 1:-1, None])[..., 0]
        distribution, log_p = student(ids)
        each = (log_p - true).square() if distribution is None else -(target.exp() * distribution).sum(-1)
        loss = each.mean() + MEAN_WEIGHT * (log_p - true).mean(1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        seen += len(ids)
    if arguments.output:
        Ume(student.network, ume.tokenizers).save_pretrained(arguments.output)


if __name__ == "__main__":
    main()
