"""A policy in a search: it writes molecules anew, ends those that were cut, and learns from the best."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from lobster.model.policies import end_tokens, find_policy, is_adapter, load_policy
from lobster.sequences.chemistry import random_spelling

MAX_TOKENS = 126  # what the policies that ship have learned
PASSES = 4  # in which beginnings are read, those of like lengths together


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
        layers = DynamicCache(config=self.model.config).layers
        self.passes = PASSES if all(type(layer) is DynamicLayer for layer in layers) else 1  # others cannot be joined

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
        texts = sorted(map(list, beginnings), key=len)  # their order does not matter
        logits, mask, cache = self._read(texts)
        rows, ends = torch.arange(len(texts), device=mask.device), torch.tensor(self.ends, device=mask.device)
        while True:
            ids = torch.multinomial(logits.softmax(1), 1, generator=self.generator)
            mask = torch.cat([mask, torch.ones_like(ids)], 1)
            going = (~torch.isin(ids[:, 0], ends) & (mask.sum(1) <= self.longest)).nonzero()[:, 0]
            if len(going) < len(rows):
                ids, mask, rows = ids[going], mask[going], rows[going]
                cache.batch_select_indices(going)
            if not len(rows):
                return self.tokenizer.batch_decode(texts, skip_special_tokens=True)
            for row, token in zip(rows.tolist(), ids[:, 0].tolist(), strict=True):
                texts[row].append(token)
            logits = self._next(ids, mask, cache)

    def _read(self, texts: list[list[int]]) -> tuple[Tensor, Tensor, DynamicCache]:
        """Return logits of what follows each text, the mask of all and the cache; neighbours in the list share a pass."""
        size, longest = -(-len(texts) // self.passes), max(map(len, texts))
        parts = []
        for start in range(0, len(texts), size):
            some = {"input_ids": texts[start : start + size]}
            batch = self.tokenizer.pad(some, return_tensors="pt", padding_side="left").to(self.model.device)
            cache, mask = DynamicCache(config=self.model.config), batch["attention_mask"]
            parts.append((self._next(batch["input_ids"], mask, cache), pad(mask, (longest - mask.shape[1], 0)), cache))
        logits, masks, caches = zip(*parts, strict=True)
        return torch.cat(logits), torch.cat(masks), caches[0] if self.passes == 1 else _joined(caches, self.longest)

    def _next(self, ids: Tensor, mask: Tensor, cache: DynamicCache) -> Tensor:
        """Return the logits of what follows, rows x vocabulary; the cache then holds the states of `ids` as well."""
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        how: dict[str, Any] = {"attention_mask": mask, "position_ids": positions, "past_key_values": cache}
        return self.model(ids, **how, use_cache=True, logits_to_keep=1).logits[:, -1]

    def learn(self, molecules: Sequence[str]) -> float:
        """Take a step towards molecules; return their mean negative log-likelihood (nats)."""
        loss = -self.log_likelihoods(molecules).mean()
        self.step(loss)
        return float(loss.detach())

    def log_likelihoods(self, molecules: Sequence[str]) -> Tensor:
        """Return how likely the policy is to write each text and to end there, nats; tokens that it does not know do not count."""
        texts = [smiles + self.tokenizer.eos_token for smiles in molecules]
        how: dict[str, Any] = {"truncation": True, "max_length": self.longest, "padding_side": "right"}
        batch = self.tokenizer(texts, padding=True, return_tensors="pt", **how).to(self.model.device)
        unknown = (batch["attention_mask"] == 0) | (batch["input_ids"] == self.tokenizer.unk_token_id)
        labels = batch["input_ids"].masked_fill(unknown, -100)[:, 1:]
        logits = self.model(**batch).logits[:, :-1]
        return -cross_entropy(logits.transpose(1, 2), labels, reduction="none").sum(1)

    def step(self, loss: Tensor) -> None:
        """Take a step of learning that lowers a loss."""
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()

    def state(self) -> dict[str, Any]:
        """Return all that it has become, for `torch.save`."""
        parts = {"model": self.model, "optimiser": self.optimiser}
        return {name: part.state_dict() for name, part in parts.items()} | {"generator": self.generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` told."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"].cpu())


class _RoomyLayer(DynamicLayer):
    """A layer of a cache with room for the tokens to come: none is copied for the next one, nor for a row that goes.

    Args:
        keys: States of what was read and, behind them, the room: rows x heads x tokens x size.
        values: The same.
        length: How many tokens were read.
    """

    def __init__(self, keys: Tensor, values: Tensor, length: int):
        super().__init__()
        self.lazy_initialization(keys, values)
        self._both = [keys, values]
        self._show(length)

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Take the states of the next tokens; return those of all."""
        known = self.get_seq_length()
        length = known + key_states.shape[-2]
        for states, new in zip(self._both, (key_states, value_states), strict=True):
            states[:, :, known:length] = new
        return self._show(length)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows, in their order."""
        length, count = self.get_seq_length(), len(indices)
        moved = indices != torch.arange(count, device=indices.device)
        for states in self._both:
            states[:count][moved, :, :length] = states[indices[moved], :, :length]
        self._both = [states[:count] for states in self._both]
        self._show(length)

    def _show(self, length: int) -> tuple[Tensor, Tensor]:
        self.keys, self.values = (states[:, :, :length] for states in self._both)
        return self.keys, self.values


def _joined(caches: Sequence[DynamicCache], longest: int) -> DynamicCache:
    """Return the caches of several batches as one, padded on the left, with room for texts of so many tokens."""
    length = max(cache.get_seq_length() for cache in caches)

    def together(states: list[Tensor]) -> Tensor:
        return torch.cat([pad(some, (0, 0, length - some.shape[-2], longest - 1)) for some in states])

    joined = DynamicCache()
    for some in zip(*(cache.layers for cache in caches), strict=True):
        keys, values = together([one.keys for one in some]), together([one.values for one in some])
        joined.layers.append(_RoomyLayer(keys, values, length))
    return joined
