"""What relatives make of a policy of proteins, and how it rewrites a region of one: shipped, trained on relatives, reinforced.

The relatives of a scan's wild type are looked for in DATA/protein/train.fasta.gz; the family's profile, made of all of them, is
the judge. Prints JSON, a line for each policy and, for scale, for the wild type and for random residues in the region.

python benchmarks/rewriting.py --data DATA --scan IF1 --region 20 31
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from families import scans
from transformers.utils.logging import disable_progress_bar

from lobster.evaluation import fill_in, sample
from lobster.model.policies import load_policy
from lobster.pretraining.policy import PolicyArguments, train_policy
from lobster.pretraining.run import CorpusArguments, RunArguments
from lobster.prompts import region_prompts
from lobster.rl_training import train_ume_grpo
from lobster.scoring.families import Profile, find_relatives

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


def main() -> None:
    """Train, and measure after each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scan", default="IF1", help="how its name begins")
    parser.add_argument("--region", nargs=2, type=int, default=[20, 31], help="first and last residue, from 1")
    parser.add_argument("--steps", type=int, default=150, help="on the relatives")
    parser.add_argument("--grpo_steps", type=int, default=30)
    parser.add_argument("--beta", type=float, default=4.0, help="of GRPO; 4 is the default of proteins")
    parser.add_argument("--learning_rate", type=float, default=1e-4, help="of GRPO")
    parser.add_argument("--samples", type=int, default=96)
    parser.add_argument("--output", type=Path, default=Path("runs/rewriting"))
    arguments = parser.parse_args()
    disable_progress_bar()
    wild = next(scan.wild_type for name, scan in scans(arguments.data) if name.startswith(arguments.scan))
    relatives = find_relatives(wild, arguments.data / "protein/train.fasta.gz")
    arguments.output.mkdir(parents=True, exist_ok=True)
    file = arguments.output / "relatives.fasta"
    file.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in [("query", wild), *relatives]))
    judge = Judge(wild, [sequence for _, sequence in relatives], *arguments.region, arguments.samples)
    print(json.dumps({"scan": arguments.scan, "residues": len(wild), "relatives": len(relatives)}))
    judge.tell("wild type", [wild])
    rng = np.random.default_rng(0)
    judge.tell(
        "random residues",
        [judge.whole("".join(rng.choice([*RESIDUES], judge.length))) for _ in range(arguments.samples)],
    )
    judge.ask("protein-policy-3M")
    own = arguments.output / "policy"
    train_policy(
        PolicyArguments(),
        CorpusArguments(amino_acid=str(file)),
        RunArguments(str(own), "protein-policy-3M", arguments.steps, warmup_steps=20, learning_rate=5e-4),
    )
    judge.ask(str(own))
    reinforced = arguments.output / "reinforced"
    train_ume_grpo(
        str(own),
        "ume-nano-base-3M",
        judge.rows,
        output_dir=reinforced,
        scoring={"components": [{"kind": "family", "relatives": str(file)}]},
        include_prompt=True,
        max_completion_length=judge.length,
        batch_size=32,
        num_generations=32,
        learning_rate=arguments.learning_rate,
        beta=arguments.beta,
        max_steps=arguments.grpo_steps,
        html_report=False,
        overwrite_output_dir=True,
    )
    judge.ask(str(reinforced))


class Judge:
    """What a family says of proteins, and of a region rewritten in one of them."""

    def __init__(self, wild: str, relatives: list[str], first: int, last: int, samples: int):
        self.profile = Profile.from_relatives(wild, relatives)
        self.relatives, self.samples, self.length = [wild, *relatives], samples, last - first + 1
        self.rows = region_prompts(wild, first, last)
        self.before, self.behind = self.rows[0]["prompt"], self.rows[0]["suffix"]

    def whole(self, region: str) -> str:
        """Return the protein with another region."""
        return self.before + region + self.behind

    def ask(self, name: str) -> None:
        """Let a policy write proteins, and rewrite the region."""
        model, tokenizer = load_policy(name)
        proteins = sample(model, tokenizer, self.samples)
        print(json.dumps({"policy": name, "writes": "proteins", "family": self.fit(proteins)}), flush=True)
        self.tell(name, fill_in(model, tokenizer, self.rows, self.samples, max_new_tokens=self.length))

    def tell(self, name: str, proteins: list[str]) -> None:
        """Print what the family says of rewritten proteins."""
        regions = [protein[len(self.before) : len(protein) - len(self.behind)] for protein in proteins]
        known = [any(region in relative for relative in self.relatives) for region in regions]
        figures: dict[str, Any] = {
            "family": self.fit(proteins),
            "as long": float(np.mean([len(region) == self.length for region in regions])),
            "different": len(set(regions)) / len(regions),
            "in a relative": float(np.mean(known)),
        }
        print(json.dumps({"policy": name, "writes": "region"} | figures), flush=True)

    def fit(self, proteins: list[str]) -> float:
        """Return the mean score of the family, 0 for what is no protein."""
        return float(np.nan_to_num(self.profile.score(proteins)).mean())


if __name__ == "__main__":
    main()
