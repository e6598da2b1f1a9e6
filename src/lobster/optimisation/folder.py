"""The folder of a search: what the oracle said, as it comes, and now and then the state that the search goes on from."""

import csv
import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import torch

from lobster.optimisation.oracle import Ask
from lobster.resume import alone_in, is_full
from lobster.workers.measured import Measured

if TYPE_CHECKING:
    from lobster.optimisation.search import Search

logger = logging.getLogger(__name__)

ORACLE_FILE = "oracle.json"  # what was asked
ANSWERS_FILE = "answers.csv"  # what the oracle said of which molecule, as it came
MOLECULES_FILE = "molecules.csv"  # all molecules in the order of the calls
BEST_FILE = "best_molecules.png"
STATE_FILE = "state.pt"
SAVE_EVERY = 60.0  # seconds between states
DRAWN = 20


@contextmanager
def search_folder(folder: str | Path, resume: bool) -> Iterator["SearchFolder"]:
    """Open the folder of a search, in which no other writes meanwhile.

    Args:
        folder: Where; it is made.
        resume: Whether to go on with what is there.

    Raises:
        FileExistsError: It holds a search, and that is not to be gone on with; or another search is at work in it.
        OSError: It cannot be written to, or there is no space left.
    """
    folder = Path(folder)
    with alone_in(folder):
        if not resume and (folder / ANSWERS_FILE).exists():
            raise FileExistsError(
                f"{folder} holds a search: go on with it (resume=True, --resume), or choose another folder"
            )
        try:
            yield SearchFolder(folder)
        except Exception as error:
            if not is_full(error, folder):
                raise
            raise OSError(
                f"no space left on {folder}: make some and go on with --resume (resume=True), nothing is asked twice"
            ) from error


class SearchFolder:
    """The folder of a search, from which one that was killed goes on.

    Args:
        folder: It; `search_folder` opens it.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._saved = monotonic()

    def remembering(self, ask: Ask, description: str) -> Ask:
        """Return an oracle that writes down what it says, and is not asked again what it has said before.

        Args:
            ask: The oracle.
            description: What tells it from others (`lobster.optimisation.oracle.described`).
        """
        file = self.folder / ANSWERS_FILE
        known = _read(file)
        about = self.folder / ORACLE_FILE
        if known and about.exists():
            if about.read_text(errors="replace") != description:
                logger.warning(
                    "%s: the score has changed since the search began, and of the %d answers the first are of before: for one "
                    "that asks all anew choose another folder",
                    self.folder,
                    len(known),
                )
        else:
            about.write_text(description)

        def ask_what_is_new(molecules: list[str]) -> list[Measured]:
            new = [molecule for molecule in molecules if molecule not in known]
            answers: dict[str, Measured] = {}
            with file.open("a", newline="") as stream:
                lines = csv.writer(stream, lineterminator="\n")
                for molecule, answer in zip(new, ask(new) if new else (), strict=True):
                    answers[molecule] = answer
                    if not answer.error:
                        lines.writerow([molecule, answer.value])
                        stream.flush()
                os.fsync(stream.fileno())
            return [answers[m] if m in answers else Measured(known[m]) for m in molecules]

        return ask_what_is_new

    def restore(self, search: "Search") -> None:
        """Bring a search to where its last state was written, if one was, and ask again where the oracle failed."""
        file = self.folder / STATE_FILE
        if file.exists():
            try:
                state = torch.load(file, map_location="cpu", weights_only=True)
                if state.keys() != search.state().keys():
                    raise ValueError("it is of another release")
            except OSError:
                raise
            except Exception as error:  # torch says it in many ways
                raise ValueError(
                    f"{file} is damaged: remove it, and the search goes on from {ANSWERS_FILE} to the same end"
                ) from error
            search.restore(state)
            search.ask_again()
            self.save(search)

    def save(self, search: "Search") -> None:
        """Write the state once `SAVE_EVERY` has passed, and at the end; none of an outage, to go on from before it."""
        done = len(search.scores) >= search.budget
        if not done and (search.is_failing or monotonic() < self._saved + SAVE_EVERY):
            return
        from lobster.report.sequence_views import can_draw, molecule_grid  # which takes a second

        result = search.result
        result.write(self.folder / MOLECULES_FILE)
        if (best := dict(result.best(DRAWN))) and can_draw():
            molecule_grid(best).save(self.folder / BEST_FILE)
        if not search.is_failing:
            new = self.folder / f"{STATE_FILE}.new"
            with new.open("wb") as stream:  # which says that a disk is full, as a path of torch's does not
                torch.save(search.state(), stream)
            new.replace(self.folder / STATE_FILE)
        self._saved = monotonic()


def _read(file: Path) -> dict[str, float]:
    """Return what an oracle has said; a line that a kill left half-written is passed over."""
    if not file.exists():
        return {}
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is damaged ({error}): mend it, or choose another folder") from error
    if not text.endswith("\n") and text:
        text = text[: text.rfind("\n") + 1]
        file.write_text(text, encoding="utf-8")
    said = {}
    for number, row in enumerate(csv.reader(text.splitlines()), 1):
        try:
            molecule, text_of_value = row
            value = float(text_of_value)
        except ValueError as error:
            raise ValueError(
                f"{file}, line {number} is {row}: expected a SMILES and a number; remove the line"
            ) from error
        if math.isfinite(value):
            said[molecule] = value
    return said
