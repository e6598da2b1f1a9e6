"""The three tokenizers: `<cls_modality> … <eos>` around the tokens of a sequence."""

from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from lobster.constants import Modality
from lobster.tokenization.vocabulary import SMILES_PATTERN, SPECIAL_TOKENS, modality_tokens


def make_tokenizer(modality: Modality) -> PreTrainedTokenizerFast:
    """Build the tokenizer of a modality over the shared vocabulary.

    SMILES split atom-wise; proteins and nucleotides by letter, nucleotides in lower case.

    >>> make_tokenizer(Modality.SMILES).tokenize("C[C@H](Cl)O")
    ['C', '[C@H]', '(', 'Cl', ')', 'O']
    >>> make_tokenizer(Modality.NUCLEOTIDE).convert_ids_to_tokens([3, 1264, 4])
    ['<cls_nucleotide>', 'a', '<eos>']
    """
    special = {token: i for i, token in enumerate(SPECIAL_TOKENS)}
    cls = f"<cls_{modality.value.lower()}>"
    backend = Tokenizer(WordLevel(special | modality_tokens(modality), unk_token="<unk>"))
    backend.pre_tokenizer = Split(Regex(SMILES_PATTERN if modality is Modality.SMILES else r"[\s\S]"), "isolated")
    if modality is Modality.NUCLEOTIDE:
        backend.normalizer = Lowercase()
    backend.post_processor = TemplateProcessing(
        single=f"{cls} $A <eos>", special_tokens=[(cls, special[cls]), ("<eos>", special["<eos>"])]
    )
    return _wrap(cls, tokenizer_object=backend)


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerFast:
    """Load the tokenizer that ``folder/tokenizer.json`` describes, with the special tokens of the shared vocabulary.

    Raises:
        FileNotFoundError: There is no ``tokenizer.json``.
    """
    file = Path(folder) / "tokenizer.json"
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist: a tokenizer folder holds a tokenizer.json")
    return _wrap(f"<cls_{Path(folder).name.lower()}>", tokenizer_file=str(file))


def _wrap(cls: str, **backend: object) -> PreTrainedTokenizerFast:
    """Name the special tokens; a sequence that spells one (`<mask>`) is text like any other."""
    return PreTrainedTokenizerFast(
        **backend,
        cls_token=cls,
        eos_token="<eos>",
        sep_token="<sep>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token="<mask>",
        split_special_tokens=True,
    )
