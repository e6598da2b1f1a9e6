"""What a step costs with an oracle of half a second: 64 molecules, 8 workers; and how long a call of a minute takes where one second is allowed.

python benchmarks/oracle_steps.py
"""

import json
import tempfile
import time
import warnings
from pathlib import Path

from lobster.scoring import Component, ScoringFunction

MOLECULES = ["C" * n for n in range(1, 65)]
HALF_A_SECOND, A_MINUTE = (f"bash -c 'sleep {seconds}; echo 0.5' {{smiles}}" for seconds in (0.5, 60))


def half_a_second(smiles: str) -> float:
    """Return something after half a second."""
    time.sleep(0.5)
    return len(smiles) / 200


def a_minute(smiles: str) -> float:
    """Return something after a minute."""
    time.sleep(60)
    return 0.5


def seconds(scoring: ScoringFunction, molecules: list[str]) -> float:
    """Return how long a step takes."""
    begun = time.perf_counter()
    scoring.score(molecules, "SMILES")
    return round(time.perf_counter() - begun, 2)


def main() -> None:
    """Print JSON."""
    warnings.simplefilter("ignore")  # that calls take too long
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, slow, slower in (
            ("function", {"kind": half_a_second}, {"kind": a_minute}),
            ("command", {"kind": "command", "command": HALF_A_SECOND}, {"kind": "command", "command": A_MINUTE}),
        ):
            entry = slow | {"workers": 8, "cache": str(Path(folder) / "values.sqlite")}
            first, again = ScoringFunction([entry]), ScoringFunction([entry])
            limited = ScoringFunction([Component(**slower, workers=4, timeout=1, cache=False)])
            found[name] = {
                "first step (s)": seconds(first, MOLECULES),
                "next step (s)": seconds(first, [f"{smiles}N" for smiles in MOLECULES]),
                "the same in another run (s)": seconds(again, MOLECULES),
                "four calls of 60 s, 1 s allowed (s)": seconds(limited, MOLECULES[:4]),
            }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
