"""The card of a policy that was reinforced."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

_CARD = """---
library_name: transformers
pipeline_tag: text-generation
tags:{tags}{dataset}
---

# {name}

A language model of molecules: {start}, reinforced by GRPO with a reward from a UME.
{steps} steps of {batch} completions, learning rate {learning_rate:g}, beta {beta:g}, scale_rewards {scale_rewards}.

```python
from lobster.evaluation import sample
from transformers import AutoModelForCausalLM, AutoTokenizer

model, tokenizer = (auto.from_pretrained("path/to/{name}") for auto in (AutoModelForCausalLM, AutoTokenizer))
print(sample(model, tokenizer, count=10))
```
"""


def model_card(
    model: Any, args: Any, steps: int, name: str | None = None, dataset: str | None = None, tags: Sequence[str] = ()
) -> str:
    """Return a card in Markdown.

    Args:
        model: The policy.
        args: TRL's, a `GRPOConfig`.
        steps: How many it was trained.
        name: Of the policy; its folder's by default.
        dataset: Of the prompts, if it has a name.
        tags: More than ours.
    """
    return _CARD.format(
        name=name or Path(str(args.output_dir)).name,
        start=Path(model.config._name_or_path or "a model in memory").name,
        steps=steps,
        batch=args.per_device_train_batch_size * args.world_size * args.gradient_accumulation_steps,
        beta=args.beta,
        learning_rate=args.learning_rate,
        scale_rewards=args.scale_rewards,
        tags="".join(f"\n- {tag}" for tag in ["trl", "grpo", "lobster", *tags]),
        dataset=f"\ndatasets:\n- {dataset}" if dataset else "",
    )
