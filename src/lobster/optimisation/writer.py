"""A policy in a search: it writes molecules anew, ends those that were cut, and learns from the best."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import DynamicCache

from lobster.model.policies import end_tokens, find_policy, is_adapter, load_policy
from lobster.sequences.chemistry import random_spelling

MAX_TOKENS = 126  # what the policies that ship have learned


class Writer:
    """A causal language model of SMILES with its tokenizer, its optimiser and its own random numbers.

    A plain loop, not TRL's trainer: what it learns are molecules of any origin, and GRPO learns from its own samples alone.

    Args:
        policy: A name that ships, a folder or a Hub id.
        learning_rate: Of Adam.
        seed: Of what it draws.
        device: Where it runs.

    Raises:
        FileNotFoundError: There is no such policy.
        ValueError: It is a LoRA adapter, or its tokenizer does not begin or end what it writes.
    """

    def __init__(self, policy: str | Path, learning_rate: float, seed: int, device: torch.device):
        if is_adapter(find_policy(policy)):
            raise ValueError(
                f"{policy} is a LoRA adapter: merge it into its base (merge_and_unload), save that and pass it"
            )
        self.model, self.tokenizer = load_policy(policy)
        if not self.tokenizer("").input_ids or self.tokenizer.eos_token is None:
            raise ValueError(f"the tokenizer of {policy} begins or ends no text: give it a bos_token and an eos_token")
        self.longest = min(MAX_TOKENS, self.model.config.max_position_embeddings)
        self.model.to(device).eval()
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=learning_rate)
        self.generator = torch.Generator(device).manual_seed(seed)
        self.ends = end_tokens(self.model, self.tokenizer)

    def write(self, count: int) -> list[str]:
        """Return as many texts, written anew."""
        return self._write_on([self.tokenizer("").input_ids] * count)

    def rewrite(self, molecules: Sequence[str], random: Random) -> list[str]:
        """Return each molecule with another end: in a random spelling, cut at a random token, and written on from there."""
        beginnings = []
        for smiles in molecules:
            ids = self.tokenizer(random_spelling(smiles, random.getrandbits(32))).input_ids
            beginnings.append(ids[: random.randrange(1, max(2, min(len(ids), self.longest)))])
        return self._write_on(beginnings)

    @torch.inference_mode()
    def _write_on(self, beginnings: Sequence[Sequence[int]]) -> list[str]:
        """Return whole texts, those that do not end within `longest` tokens cut there; a row that has ended is computed no further."""
        device = self.model.device
        batch = self.tokenizer.pad({"input_ids": [list(ids) for ids in beginnings]}, return_tensors="pt").to(device)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        texts, rows = [list(some) for some in beginnings], torch.arange(len(beginnings), device=device)
        cache, ends = DynamicCache(config=self.model.config), torch.tensor(self.ends, device=device)
        while len(rows):
            positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            how: dict[str, Any] = {"attention_mask": mask, "position_ids": positions, "past_key_values": cache}
            logits = self.model(ids, **how, use_cache=True, logits_to_keep=1).logits[:, -1]
            ids = torch.multinomial(logits.softmax(1), 1, generator=self.generator)
            mask = torch.cat([mask, torch.ones_like(ids)], 1)
            going = (~torch.isin(ids[:, 0], ends) & (mask.sum(1) <= self.longest)).nonzero()[:, 0]
            if len(going) < len(rows):
                ids, mask, rows = ids[going], mask[going], rows[going]
                cache.batch_select_indices(going)
            for row, token in zip(rows.tolist(), ids[:, 0].tolist(), strict=True):
                texts[row].append(token)
        return self.tokenizer.batch_decode(texts, skip_special_tokens=True)

    def learn(self, molecules: Sequence[str]) -> float:
        """Take a step towards molecules; return their mean negative log-likelihood (nats)."""
        texts = [smiles + self.tokenizer.eos_token for smiles in molecules]
        how: dict[str, Any] = {"truncation": True, "max_length": self.longest, "padding_side": "right"}
        batch = self.tokenizer(texts, padding=True, return_tensors="pt", **how).to(self.model.device)
        unlearned = (batch["attention_mask"] == 0) | (batch["input_ids"] == self.tokenizer.unk_token_id)
        labels = batch["input_ids"].masked_fill(unlearned, -100)[:, 1:]
        logits = self.model(**batch).logits[:, :-1]
        total = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="sum")
        loss = total / len(molecules)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        return float(loss.detach())

    def state(self) -> dict[str, Any]:
        """Return all that it has become, for `torch.save`."""
        parts = {"model": self.model, "optimiser": self.optimiser}
        return {name: part.state_dict() for name, part in parts.items()} | {"generator": self.generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` told."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"].cpu())
