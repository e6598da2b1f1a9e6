"""From what a policy wrote to the sequence that is scored, or the reason why none is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lobster.constants import Modality
from lobster.sequences import SmilesOptions, _detect_modality, letters_of, normal_form
from lobster.sequences.chemistry import MAX_SMILES_CHARACTERS

_TAG_MODALITIES = {
    "smiles": Modality.SMILES,
    "protein": Modality.AMINO_ACID,
    "dna": Modality.NUCLEOTIDE,
    "rna": Modality.NUCLEOTIDE,
}
_TAG = re.compile(rf"<(/?)({'|'.join(_TAG_MODALITIES)})>", re.IGNORECASE)


class Outcome(StrEnum):
    """What became of a completion: scored, or the reason for a reward of 0."""

    SCORED = "scored"
    NOT_TEXT = "not_text"
    EMPTY = "empty"
    UNDETECTABLE = "undetectable"
    UNPARSABLE = "unparsable"
    WRONG_MODALITY = "wrong_modality"
    TOO_LONG = "too_long"
    UNKNOWN_TOKEN = "unknown_token"
    SCORING_FAILED = "scoring_failed"
    REPEATED = "repeated"


@dataclass
class Scored:
    """A completion on its way to a reward.

    Attributes:
        outcome: Whether it was scored, or why not.
        modality: Its modality, where that is known.
        sequence: What is scored, in its normal form: canonical SMILES, a protein's letters in upper case, or DNA in lower
            case. Two completions describe the same molecule where the modality and this agree.
        pseudo_likelihood: Geometric mean probability of a token, in (0, 1]; 0 where it was not scored, NaN where no component
            asks for it.
        score: What the scoring function makes of it, in [0, 1]; 0 where it was not scored.
        values: The value of each component before its transform, by name; NaN where it failed.
        parts: The score of each component, in [0, 1], by name.
        novelty_weight: What the diversity memory pays of it, in [0, 1].
        beside_reference: What it is beside real sequences, by the name of the measure; None where that was not asked.
    """

    outcome: Outcome
    modality: Modality | None = None
    sequence: str = ""
    pseudo_likelihood: float = 0.0
    score: float = 0.0
    values: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    novelty_weight: float = 1.0
    beside_reference: dict[str, float] | None = None

    @property
    def molecule(self) -> tuple[Modality, str] | None:
        """What identifies the molecule, None where there is none."""
        return (self.modality, self.sequence) if self.modality and self.outcome is Outcome.SCORED else None


def read_completion(
    completion: object, expected: Modality | None, max_length: int, smiles_options: SmilesOptions | None = None
) -> Scored:
    """Find the molecule in a completion.

    Args:
        completion: What the policy wrote. Where it holds `<smiles>`, `<protein>`, `<dna>` or `<rna>` tags, the content
            of the last one that is closed counts. Proteins and nucleotides may be laid out as FASTA, in lines, and,
            where their modality is said, in blocks.
        expected: The modality that it must have; None takes the one that it looks like.
        max_length: Longest input of the encoder in tokens. A text that cannot fit is refused before it is parsed.
        smiles_options: What makes a SMILES another molecule, or none.

    Returns:
        A `Scored` with outcome `SCORED` (its pseudo-likelihood yet 0), or with the reason against it.

    >>> read_completion("The answer: <smiles>OCC</smiles>", None, 1024).sequence
    'CCO'
    >>> read_completion("ATGC", Modality.SMILES, 1024).outcome.value
    'wrong_modality'
    >>> read_completion(">a protein\\nMKTVRQ\\nERLK", None, 1024).sequence
    'MKTVRQERLK'
    """
    if not isinstance(completion, str):
        return Scored(Outcome.NOT_TEXT)
    text, tagged = _tag_content(completion)
    text = text.strip()
    if not text:
        return Scored(Outcome.EMPTY, expected)
    if expected and tagged and expected is not tagged:
        return Scored(Outcome.WRONG_MODALITY, expected)
    modality = expected or tagged
    if len(text) > 2 * max(max_length, MAX_SMILES_CHARACTERS):  # twice: blanks, numbers and a header are not tokens
        return Scored(Outcome.TOO_LONG, modality)
    if modality is None:
        try:
            modality = _looks_like(text)
        except ValueError:
            return Scored(Outcome.UNDETECTABLE)
    sequence = normal_form(text, modality, smiles_options)
    if sequence is None:
        return Scored(_why_not(text, modality), modality)
    return Scored(Outcome.SCORED, modality, sequence)


def _tag_content(text: str) -> tuple[str, Modality | None]:
    """Return what the last closed tag holds and its modality; the whole text where there is none."""
    opened: dict[str, int] = {}
    found: tuple[str, Modality | None] = (text, None)
    for tag in _TAG.finditer(text):
        name = tag[2].lower()
        if not tag[1]:
            opened[name] = tag.end()
        elif name in opened:
            found = text[opened.pop(name) : tag.start()], _TAG_MODALITIES[name]
    return found


def _looks_like(text: str) -> Modality:
    """Return the modality that a text looks like; of FASTA or several lines, which no SMILES has, by its letters."""
    if not text.startswith(">") and len(text.splitlines()) == 1:
        return _detect_modality(text)
    if (modality := _detect_modality(letters_of(text))) is Modality.SMILES:
        raise ValueError("several lines are no SMILES")
    return modality


def _why_not(text: str, expected: Modality) -> Outcome:
    try:
        found = _detect_modality(text)
    except ValueError:
        return Outcome.UNPARSABLE
    return Outcome.UNPARSABLE if found is expected else Outcome.WRONG_MODALITY


def written_text(completion: Any) -> Any:
    """Return the text of a completion as TRL hands it over: plain, or of a conversational one that of its last message.

    >>> written_text([{"role": "assistant", "content": "CCO"}])
    'CCO'
    """
    if isinstance(completion, list) and completion and isinstance(completion[-1], dict):
        return completion[-1].get("content")
    return completion


def continued(
    prompts: Sequence[Any] | None, texts: list[Any], suffixes: Sequence[str | None] | None = None
) -> list[Any]:
    """Return each prompt, what the policy wrote behind it, and what stands behind that, as one text.

    Raises:
        ValueError: A prompt is not plain text.

    >>> continued(["CC"], ["O"]), continued(["MKT"], ["GS"], ["VRQ"])
    (['CCO'], ['MKTGSVRQ'])
    """
    prompts = [None] * len(texts) if prompts is None else prompts
    for prompt in prompts:
        if not isinstance(prompt, str):
            raise ValueError(
                f"include_prompt=True joins prompt and completion, for which prompts are plain text, not {prompt!r:.60}: "
                "leave include_prompt out, or write the prompts without a chat"
            )
    suffixes = [None] * len(texts) if suffixes is None else suffixes
    joined = zip(prompts, texts, suffixes, strict=True)
    return [prompt + text + (after or "") if isinstance(text, str) else text for prompt, text, after in joined]
