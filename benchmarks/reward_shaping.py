"""What the trainer's choices do to a policy: the demo under each of them. Prints a JSON object a line.

python benchmarks/reward_shaping.py                     # every setting, about four minutes each on two cores
python benchmarks/reward_shaping.py default plain       # some of them
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[1] / "examples" / "train_ume_grpo.py"
SETTINGS = {
    "default": [],
    "plain, scaled in groups": ["--diversity", "false", "--beta", "0", "--scale_rewards", "group"],
    "plain": ["--diversity", "false", "--beta", "0"],
    "plain, anchored": ["--diversity", "false"],
    "pays once, no anchor": ["--beta", "0"],
    "temperature 0.03": ["--reward_temperature", "0.03"],
    "temperature 0.3": ["--reward_temperature", "0.3"],
}


def main() -> None:
    """Run the settings that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", help=f"of: {', '.join(SETTINGS)}")
    parser.add_argument("--output_dir", default="runs/reward_shaping")
    arguments, rest = parser.parse_known_args()
    for name in arguments.settings or SETTINGS:
        folder = Path(arguments.output_dir) / name.replace(", ", "-").replace(" ", "-")
        command = [sys.executable, DEMO, "--output_dir", folder, *SETTINGS[name], *rest]
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        summary = json.loads((folder / "summary.json").read_text())
        print(json.dumps({"setting": name} | summary["after"] | {"before": summary["before"]}), flush=True)


if __name__ == "__main__":
    main()
