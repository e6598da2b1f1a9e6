"""MolScore: the objectives of its configurations and benchmarks, as an oracle."""

import io
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from lobster.constants import Modality
from lobster.scoring.molecules import file_versions
from lobster.workers.measured import in_one_line

# Ways to aggregate that score a molecule by itself; the others weigh it by those that come with it.
METHODS = ("single", "amean", "gmean", "prod", "wprod", "wsum")


@dataclass(frozen=True)
class Molscore:
    """The total score of a MolScore configuration (Thomas et al., J. Cheminform. 2024), of each molecule by itself.

    Its scoring functions, transformations, aggregation and filters are asked. What it knows of earlier molecules is
    not: its diversity filter, its replay buffer, its budget, and the bounds that ``norm`` finds as it goes.

    Attributes:
        config: A JSON file of its, or a task of a benchmark: ``GuacaMol:Albuterol_similarity``, ``MolOpt:QED``.
        output_dir: Where its scoring functions write what they write, such as docked poses; by default nothing is kept.

    Raises:
        ModuleNotFoundError: molscore is not installed.
        ValueError: MolScore cannot be made of the configuration, or its score of a molecule depends on others.
    """

    batch: ClassVar[bool] = True
    processes: ClassVar[bool] = False  # it has processes of its own, ``n_jobs``
    modalities: ClassVar[tuple[Modality, ...]] = (Modality.SMILES,)
    config: str
    output_dir: str | None = None

    def __post_init__(self) -> None:
        if find_spec("molscore") is None:
            raise ModuleNotFoundError("molscore is not installed: pip install 'lobster-rl[molscore]'")
        self._manager()

    def _manager(self) -> Any:
        return _manager(self.config, self.output_dir, file_versions((self.config,)))

    def __call__(self, smiles: Sequence[str]) -> list[float]:
        """Score molecules, each a different one."""
        manager = self._manager()
        manager.step += 1  # in the names of files
        with _quiet():
            manager.run_scoring_functions([*smiles], [f"{manager.step}_{place}" for place in range(len(smiles))])
            found = manager.compute_score(manager.results_df).set_index("smiles")
        return found[manager.cfg["scoring"]["method"]].reindex(smiles).tolist()


@lru_cache(maxsize=16)
def _manager(config: str, output_dir: str | None, version: Any) -> Any:
    """Return MolScore's manager of a configuration; another one where the file has another version."""
    with _quiet():
        import molscore

        try:
            name = f"lobster{time.time_ns()}"  # of a folder, beside those of others that begin in the same second
            manager = molscore.MolScore(name, config, output_dir or _scratch().name)
        except Exception as error:  # its scoring functions may raise anything
            raise ValueError(f"MolScore cannot use {config}: {type(error).__name__}: {in_one_line(error)}") from error
    wanted = [part["name"] for part in manager.cfg["scoring_functions"] if part["run"]]
    if lacking := set(wanted) - {type(part).__name__ for part in manager.scoring_functions}:
        raise ValueError(
            f"{config}: MolScore has no {min(lacking)} here: `python -c 'import molscore'` says what it lacks"
        )
    if (method := manager.cfg["scoring"]["method"]) not in METHODS:
        raise ValueError(
            f"{config}: {method} scores a molecule by those beside it: expected one of {', '.join(METHODS)}"
        )
    manager.diversity_filter = None  # which it would write down at the end
    return manager


@cache
def _scratch() -> TemporaryDirectory:
    return TemporaryDirectory(prefix="molscore-")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what it says of optional parts, and what pandas says of it, from the terminal."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
