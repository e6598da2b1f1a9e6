"""The compact cache of token ids that a training run reads.

A corpus is tokenised once. Its token ids lie one after another in a memory map, one byte each where the corpus uses at most
256 different tokens and two where it uses more, so that the share of a run fits into a few megabytes and nothing is tokenised
twice, in this run or when it is resumed.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from lobster.constants import Modality
from lobster.sequences import normal_form, read_sequences

logger = logging.getLogger(__name__)

_LOOKED_AT = 1000  # sequences of a corpus
_CONTENTS_FILE = "contents.json"
_CHUNK = 1000  # sequences tokenised at a time: a tokenizer needs about 500 bytes of memory for a token


class CorpusError(ValueError):
    """A corpus file cannot be used."""


class TokenCorpus:
    """Sequences as token ids, without special tokens: item i is the i-th, an int64 array.

    Attributes:
        lengths: Tokens of each sequence.

    >>> corpus = TokenCorpus.of([[25, 26, 25], [27]])
    >>> corpus[0].tolist(), corpus.lengths.tolist()
    ([25, 26, 25], [3, 1])
    """

    def __init__(self, codes: np.ndarray, lengths: np.ndarray, token_ids: np.ndarray):
        self._codes, self.lengths, self._token_ids = codes, lengths, token_ids
        self._ends = lengths.cumsum(dtype=np.int64)

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int] | np.ndarray]) -> Self:
        """Pack sequences of token ids in memory."""
        flat = np.concatenate([np.asarray(s, dtype=np.int64) for s in sequences])
        token_ids, codes = np.unique(flat, return_inverse=True)
        dtype = np.uint8 if len(token_ids) <= 256 else np.uint16
        return cls(codes.astype(dtype), np.array([len(s) for s in sequences], dtype=np.uint32), token_ids)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.window(i, 0, int(self.lengths[i]))

    def window(self, i: int, start: int, length: int) -> np.ndarray:
        """Return ``length`` token ids of sequence ``i`` from ``start`` on."""
        first = self._ends[i] - self.lengths[i] + start
        return self._token_ids[self._codes[first : first + length]]

    def save(self, folder: Path) -> None:
        """Write three arrays into a folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "codes.npy", self._codes)
        np.save(folder / "lengths.npy", self.lengths)
        np.save(folder / "token_ids.npy", self._token_ids)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Map what `save` wrote."""
        codes = np.load(folder / "codes.npy", mmap_mode="r")
        return cls(codes, np.load(folder / "lengths.npy"), np.load(folder / "token_ids.npy"))


def _read(file: str, modality: Modality) -> list[str]:
    """Return the sequences of a file; warn where some are none of a modality: a thousand from all over it are looked at.

    Raises:
        CorpusError: None is one.
    """
    sequences = read_sequences(file)
    drawn = sequences[:: max(1, len(sequences) // _LOOKED_AT)]
    try:
        odd = [sequence for sequence in drawn if normal_form(sequence, modality) is None]
    except ImportError:  # RDKit, which a machine that only trains may lack
        odd = []
    what = f"{file}: {len(odd)} of {len(drawn)} sequences that were looked at are no {modality.value}, such as {odd[:1]!r:.60}"
    if odd and len(odd) == len(drawn):
        raise CorpusError(f"{what}: name a file of those")
    if odd:
        logger.warning("%s; what the vocabulary has is learned all the same", what)
    return sequences


def cached_corpora(
    folder: Path,
    files: Mapping[Modality, str],
    tokenize: Callable[[Modality, list[str]], list[list[int]]],
    budget: Mapping[Modality, int],
    max_bytes: int,
    seed: int = 0,
) -> dict[Modality, TokenCorpus]:
    """Tokenise random sequences of each file, as many as a run will read, into a folder; or map what is there already.

    Args:
        folder: Where the cache is. A cache of the same files that has as much is used as it is, so that a run resumes on the same
            data.
        files: The file of each modality.
        tokenize: Makes token ids without special tokens of sequences; an empty answer leaves a sequence out.
        budget: Tokens that the run will read of each modality.
        max_bytes: Most bytes of token ids in all. A run that reads more goes over the cache several times.
        seed: Of the choice of sequences.

    Raises:
        CorpusError: The folder holds a cache of other files, or a file leaves nothing to train on.
        FileNotFoundError: A file is not there.
    """
    names = {modality.value: Path(file).name for modality, file in files.items()}
    found = json.loads((folder / _CONTENTS_FILE).read_text()) if (folder / _CONTENTS_FILE).is_file() else {}
    if found:
        corpora = {modality: TokenCorpus.load(folder / modality.value) for modality in files if modality in found}
        same = {m.value: tokenize(m, [found[m]["first"]])[0] == corpus[0].tolist() for m, corpus in corpora.items()}
        if {m: entry["file"] for m, entry in found.items()} != names or not all(same.values()):
            raise CorpusError(
                f"{folder} was made from other files than {', '.join(names.values())}, or with another tokenizer: "
                "delete it or name another --cache"
            )
        here = [m for m, file in files.items() if os.path.exists(file)]  # where it is not, the cache is all there is
        enough = (found[m].get("budget", 0) >= budget[m] for m in here)
        if all(enough) and all(found[m].get("size") == os.path.getsize(files[m]) for m in here):
            return corpora
        print(f"{folder} is made anew, of a longer run or of a file that has changed", flush=True)
        (folder / _CONTENTS_FILE).unlink()
        for name in found:  # not written over: another run may have mapped it
            shutil.rmtree(folder / name)
    contents = {}
    total = sum(budget[modality] for modality in files)
    for modality, file in files.items():
        share = max_bytes * budget[modality] / total
        first, corpus = _tokenized(
            _read(file, modality), lambda chunk, m=modality: tokenize(m, chunk), budget[modality], share, seed
        )
        if corpus is None:
            raise CorpusError(f"{file} leaves nothing to train on: every {modality} sequence is too long or unknown")
        corpus.save(folder / modality.value)
        contents[modality.value] = {
            "file": names[modality.value],
            "size": os.path.getsize(file),
            "budget": budget[modality],
            "first": first,
        }
    (folder / _CONTENTS_FILE).write_text(json.dumps(contents) + "\n")  # last: a cache that was cut short is made anew
    return {modality: TokenCorpus.load(folder / modality.value) for modality in files}


def _tokenized(
    sequences: list[str], tokenize: Callable, max_tokens: float, max_bytes: float, seed: int
) -> tuple[str, TokenCorpus | None]:
    """Return the first sequence that was taken, to know the tokenizer again by, and all of them."""
    order = np.random.default_rng(seed).permutation(len(sequences))
    kept: list[np.ndarray] = []
    first, tokens, different = "", 0, set()
    for start in range(0, len(order), _CHUNK):
        chunk = [sequences[i] for i in order[start : start + _CHUNK]]
        for sequence, ids in zip(chunk, tokenize(chunk), strict=True):
            if not ids:
                continue
            different.update(ids)
            tokens += len(ids)
            if kept and (tokens > max_tokens or tokens * (1 if len(different) <= 256 else 2) > max_bytes):
                return first, TokenCorpus.of(kept)
            first = first or sequence
            kept.append(np.array(ids, dtype=np.uint32))
    return first, TokenCorpus.of(kept) if kept else None
