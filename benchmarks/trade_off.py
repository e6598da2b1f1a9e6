"""Draw likelihood against diversity of what reward_shaping.py printed.

python benchmarks/trade_off.py runs/shaping/*.jsonl --output benchmarks/trade_off.png
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

AIM = (0.80, 20)  # internal diversity, percent of pseudo-likelihood above the start


def main() -> None:
    """Read the runs and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="output of reward_shaping.py for SMILES")
    parser.add_argument("--output", default="trade_off.png")
    arguments = parser.parse_args()
    runs = [json.loads(line) for file in arguments.files for line in file.read_text().splitlines() if line[:1] == "{"]
    runs = [run for run in runs if "pseudo_likelihood" in run]
    [start, *_] = [run for run in runs if run["setting"] == "the start"]

    def points(kind: Any) -> list[tuple[float, float]]:
        gains = [
            (r["internal_diversity"], 100 * (r["pseudo_likelihood"] / start["pseudo_likelihood"] - 1), r) for r in runs
        ]
        return sorted((diversity, gain) for diversity, gain, run in gains if kind(run))

    figure, axes = plt.subplots(figsize=(7.7, 4.8))
    rejected = points(lambda run: run["setting"].startswith(("rejection", "the start")))
    trained = [run for run in runs if "seed" in run]
    default = points(lambda run: run in trained and run["setting"] == "default")
    other = points(lambda run: run in trained and run["setting"] != "default")
    axes.plot(*zip(*rejected, strict=True), "o-", color="0.4", label="the start, and the likeliest of its samples")
    if other:
        axes.plot(*zip(*other, strict=True), "^", color="tab:orange", label="trainings, other settings")
    if default:
        axes.plot(*zip(*default, strict=True), "D", color="tab:blue", label="trainings, the defaults")
    top = max(AIM[1] + 4, axes.get_ylim()[1])
    axes.fill_between([AIM[0], 0.86], AIM[1], top, color="tab:green", alpha=0.12)
    axes.text(0.838, AIM[1] + 1, "the aim", color="tab:green")
    axes.set(
        xlabel="internal diversity", ylabel="pseudo-likelihood, % above the start", xlim=(None, 0.86), ylim=(None, top)
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left")
    figure.savefig(arguments.output, dpi=100, bbox_inches="tight")


if __name__ == "__main__":
    main()
