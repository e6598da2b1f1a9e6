"""Values on disk: what an oracle said of a sequence is not asked again, by no later run."""

import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

_AT_ONCE = 500  # sequences in one query; SQLite allows 32,766 parameters
_PATIENCE = 60.0  # seconds to wait while another process writes


def default_file() -> Path:
    """Return where values are kept unless a file is named: ``~/.cache/lobster/oracles.sqlite``, or in ``$XDG_CACHE_HOME``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lobster" / "oracles.sqlite"


class StoredValues:
    """A SQLite file of values by oracle and sequence, which several processes may share.

    Args:
        file: Made where it is missing, with its folder.

    Raises:
        ValueError: It cannot be read and written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     stored = StoredValues(Path(folder) / "values.sqlite")
    ...     stored.add("vina", {"CCO": -3.1})
    ...     StoredValues(Path(folder) / "values.sqlite").find("vina", ["CCO", "CCN"])
    {'CCO': -3.1}
    """

    def __init__(self, file: str | Path):
        self.file = Path(file)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as connection, connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS stored (oracle TEXT, sequence TEXT, value REAL, "
                    "PRIMARY KEY (oracle, sequence)) WITHOUT ROWID"
                )
        except (OSError, sqlite3.Error) as error:
            raise ValueError(f"cache {str(file)!r} cannot be used ({error}): name another file, or false") from error

    def find(self, oracle: str, sequences: Iterable[str]) -> dict[str, float]:
        """Return the values that are known."""
        wanted = list(sequences)
        found: dict[str, float] = {}
        with closing(self._connect()) as connection:
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                query = (
                    f"SELECT sequence, value FROM stored WHERE oracle = ? AND sequence IN ({','.join('?' * len(some))})"
                )
                found.update(connection.execute(query, [oracle, *some]).fetchall())
        return found

    def add(self, oracle: str, values: Mapping[str, float]) -> None:
        """Keep values."""
        with closing(self._connect()) as connection, connection:
            rows = [(oracle, sequence, value) for sequence, value in values.items()]
            connection.executemany("INSERT OR REPLACE INTO stored VALUES (?, ?, ?)", rows)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.file, timeout=_PATIENCE)
