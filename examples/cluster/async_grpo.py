"""TRL's AsyncGRPO, which writes while it trains, with the reward behind HTTP.

Not run by its authors: it needs vLLM and GPUs. README.md says what to start first.

    python examples/cluster/async_grpo.py --model Qwen/Qwen3-0.6B --reward http://127.0.0.1:8001/score

AsyncGRPO speaks to chat models whose template TRL knows. It has no anchor (beta) and scales rewards within a group, so that the
temperature cancels: the memory of what was paid for is all that keeps the policy from one molecule. Look at what it writes.
"""

import argparse

from datasets import Dataset
from trl.experimental.async_grpo import AsyncGRPOConfig, AsyncGRPOTrainer

from lobster.rl_training import DiversityMemory
from lobster.serving import RemoteReward

SETTINGS = {
    "num_generations": 16,
    "max_completion_length": 256,
    "learning_rate": 1e-6,
    "max_steps": 500,
    "vllm_server_base_url": "http://127.0.0.1:8000",
    "report_to": "none",
}
QUESTION = "Write a drug-like molecule as SMILES, between <smiles> and </smiles>."


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="the chat model that vllm serve has")
    parser.add_argument("--reward", default="http://127.0.0.1:8001/score", help="of lobster serve (%(default)s)")
    parser.add_argument("--output_dir", default="runs/async_grpo", help="where the policy goes (%(default)s)")
    arguments = parser.parse_args()
    asked = {"prompt": [[{"role": "user", "content": QUESTION}]] * 1024, "modality": ["SMILES"] * 1024}
    trainer = AsyncGRPOTrainer(
        arguments.model,
        RemoteReward(arguments.reward, diversity=DiversityMemory()),
        AsyncGRPOConfig(arguments.output_dir, **SETTINGS),
        Dataset.from_dict(asked),
    )
    trainer.train()
    trainer.save_model()


if __name__ == "__main__":
    main()
