"""Which way a score pulls a policy, without training it: its own samples, weighted by exp(score / temperature).

Such weights are the optimum of GRPO with an anchor. Here the temperature is the one that raises the mean score by ``--gain``, so that
definitions of a score can be compared in a minute. Prints JSON: how much more or less frequent each letter becomes, the length,
how uneven the letters are in a sequence (chi-squared), the likelihood, and of SMILES the structural alerts.

python benchmarks/drift.py --modality amino_acid --samples 1500
python benchmarks/drift.py --modality SMILES --scoring pseudo_likelihood
"""

import argparse
import json
from typing import Any

import numpy as np
from rdkit import Chem
from reward_shaping import POLICIES
from transformers.utils.logging import disable_progress_bar

from lobster.constants import Modality
from lobster.evaluation import sample
from lobster.model import load_encoder
from lobster.model.policies import load_policy
from lobster.scoring import Scorer
from lobster.scoring.molecules import alert_catalog


def main() -> None:
    """Sample, score, weight."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modality", type=Modality, default=Modality.SMILES, choices=list(Modality))
    parser.add_argument("--encoder", default="ume-nano-base-3M")
    parser.add_argument("--policy", help="by default the one of the modality that ships")
    parser.add_argument("--scoring", help="YAML file or component; the default score is left out")
    parser.add_argument("--reference", help="file of real sequences; the encoder's own by default")
    parser.add_argument("--samples", type=int, default=1500)
    parser.add_argument("--gain", type=float, default=0.12)
    arguments = parser.parse_args()
    disable_progress_bar()
    policy, tokenizer = load_policy(arguments.policy or POLICIES[arguments.modality][0])
    longest = policy.config.max_position_embeddings - 1
    samples = sample(policy, tokenizer, arguments.samples, max_new_tokens=longest, seed=777)
    scorer = Scorer(load_encoder(arguments.encoder), arguments.scoring, arguments.reference)
    scored = [item for item in scorer.score(samples, arguments.modality) if item.molecule]
    print(json.dumps(drift(scored, arguments), indent=1))


def drift(scored: list[Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare weighted samples with plain ones."""
    scores = np.array([item.score for item in scored])
    weights = weighted(scores, scores.mean() + arguments.gain)
    sequences = [item.sequence for item in scored]
    letters = sorted(set("".join(sequences)))
    counts = np.array([[s.count(letter) for letter in letters] for s in sequences], dtype=float)
    plain = counts.sum(0) / counts.sum()
    after = weights @ counts / (weights @ counts).sum()
    expected = counts.sum(1, keepdims=True) * plain
    uneven = ((counts - expected) ** 2 / expected).mean(1)
    likelihood = np.array([item.pseudo_likelihood for item in scored])
    facts: dict[str, Any] = {
        "score": [scores.mean(), weights @ scores],
        "effective samples": 1 / (weights**2).sum(),
        "pseudo-likelihood": [likelihood.mean(), weights @ likelihood],
        "length": weights @ counts.sum(1) / counts.sum(1).mean(),
        "unevenness": weights @ uneven / uneven.mean(),
    }
    if arguments.modality is Modality.SMILES:
        catalog = alert_catalog(("BRENK", "PAINS"))
        alerts = np.array([catalog.HasMatch(Chem.MolFromSmiles(s)) for s in sequences], dtype=float)
        facts["alerts"] = [alerts.mean(), weights @ alerts]
    else:
        facts["letters"] = dict(sorted(zip(letters, after / plain, strict=True), key=lambda pair: pair[1]))
    return json.loads(json.dumps(facts), parse_float=lambda text: round(float(text), 3))


def weighted(scores: np.ndarray, target: float) -> np.ndarray:
    """Return weights exp(score · k) / sum whose mean score is ``target``."""
    low, high = 0.0, 1e3
    for _ in range(60):
        middle = (low + high) / 2
        weights = np.exp(middle * (scores - scores.max()))
        weights /= weights.sum()
        low, high = (middle, high) if weights @ scores < target else (low, middle)
    return weights


if __name__ == "__main__":
    main()
