"""What molecules not yet asked about may be worth, judged by those that were: a Gaussian process over their fingerprints."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

from lobster.sequences.chemistry import molecule

BITS = 2048  # of a fingerprint
_NOISE = 1e-3  # variance, of a score of variance 1: oracles are taken to be all but exact


@cache
def _generator() -> Any:
    from rdkit.Chem import rdFingerprintGenerator

    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=BITS, countSimulation=True)


def fingerprints(molecules: Sequence[str]) -> torch.Tensor:
    """Return Morgan fingerprints of radius 2 that tell counts of 1, 2, 4 and 8 apart, molecules x 2,048, of zeros and ones."""
    rows = [_generator().GetFingerprintAsNumPy(molecule(smiles)) for smiles in molecules]
    return torch.from_numpy(np.stack(rows)).float()


def tanimoto(some: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the Tanimoto similarity of each row of one matrix of zeros and ones to each of another.

    >>> tanimoto(torch.tensor([[1.0, 1, 0]]), torch.tensor([[1.0, 1, 0], [0, 1, 1]]))
    tensor([[1.0000, 0.3333]])
    """
    both = some @ others.T
    return both / (some.sum(1)[:, None] + others.sum(1) - both).clamp(min=1)


class TanimotoProcess:
    """A Gaussian process whose covariance is the Tanimoto similarity (Ralaivola et al., 2005), fitted without parameters to tune.

    Args:
        seen: Fingerprints, n x bits.
        scores: n of them.

    >>> seen = torch.tensor([[1.0, 1, 0], [0, 0, 1]])
    >>> mean, deviation = TanimotoProcess(seen, torch.tensor([1.0, 0.0])).predict(seen)
    >>> mean.round(decimals=1).tolist(), bool((deviation < 0.1).all())
    ([1.0, 0.0], True)
    """

    def __init__(self, seen: torch.Tensor, scores: torch.Tensor):
        scores = scores.double()  # of which the differences count, however far from 0 they lie
        self.seen, self.mean = seen, scores.mean()
        self.scale = scores.std(correction=0).clamp(min=torch.finfo(torch.float64).tiny)
        covariance = tanimoto(seen, seen) + _NOISE * torch.eye(len(seen))
        self.factor = torch.linalg.cholesky(covariance)
        standard = ((scores - self.mean) / self.scale).float()
        self.weights = torch.cholesky_solve(standard[:, None], self.factor)[:, 0]

    def predict(self, molecules: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean and the standard deviation of what each may be worth, in double precision.

        Args:
            molecules: Fingerprints, m x bits.
        """
        near = tanimoto(molecules, self.seen)
        explained = torch.linalg.solve_triangular(self.factor, near.T, upper=False).square().sum(0)
        deviation = (1 - explained).clamp(min=1e-6).sqrt()
        return self.mean + self.scale * (near @ self.weights).double(), self.scale * deviation.double()
