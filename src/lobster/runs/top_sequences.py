"""What a run has scored: how many different sequences, and the best of them."""

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lobster.processes import digest, from_all_processes
from lobster.runs.folder import BEST_FILE
from lobster.scoring.completions import Outcome, Scored

TOP_SEQUENCES_FILE = "top_sequences.json"


class TopSequences:
    """Counts the distinct sequences that a run has scored, over all processes, and keeps the best of them.

    Args:
        size: How many to keep.

    Attributes:
        best: The best distinct sequences, highest score first: ``sequence``, ``modality``, ``score`` in [0, 1] before the
            diversity memory, and the value of each component by name.
    """

    def __init__(self, size: int = 100):
        self.size = size
        self.best: list[dict[str, Any]] = []
        self._seen: set[int] = set()

    @property
    def unique(self) -> int:
        """Number of distinct sequences scored."""
        return len(self._seen)

    def add(self, scored: Sequence[Scored]) -> None:
        """Take note of what was scored. Where several processes run, all must call it together."""
        rows: list[dict[str, Any]] = [
            {"sequence": s.sequence, "modality": s.modality.value, "score": s.score} | s.values
            for s in scored
            if s.outcome is Outcome.SCORED and s.modality
        ]
        fresh = []
        for row in (row for rows_of_one in from_all_processes(rows)[0] for row in rows_of_one):
            key = digest(f"{row['modality']}:{row['sequence']}")
            if key not in self._seen:
                self._seen.add(key)
                fresh.append(row)
        # A stable sort: of equals the earlier one stays.
        self.best = sorted(self.best + fresh, key=lambda row: -row["score"])[: self.size]

    def write(self, folder: str | Path) -> None:
        """Write the best sequences into `BEST_FILE` in a folder, one a row, a column for each component."""
        names = list(dict.fromkeys(name for row in self.best for name in row))
        with (Path(folder) / BEST_FILE).open("w", newline="") as stream:
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(
                {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
                for row in self.best
            )

    def save(self, folder: str | Path) -> None:
        """Write what it remembers into a folder."""
        best = [{name: None if value != value else value for name, value in row.items()} for row in self.best]
        (Path(folder) / TOP_SEQUENCES_FILE).write_text(json.dumps({"best": best, "seen": sorted(self._seen)}))

    def load(self, folder: str | Path) -> None:
        """Replace what it remembers by what `save` wrote.

        Raises:
            FileNotFoundError: The folder has none.
        """
        file = Path(folder) / TOP_SEQUENCES_FILE
        if not file.is_file():
            raise FileNotFoundError(f"{file} does not exist: the checkpoint is not one of this library's trainer")
        state = json.loads(file.read_text())
        self._seen = set(state["seen"])
        self.best = [
            {name: math.nan if value is None else value for name, value in row.items()} for row in state["best"]
        ]
