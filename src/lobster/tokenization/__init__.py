"""From molecules to token ids: one vocabulary, three tokenizers."""

from lobster.tokenization.tokenizers import load_tokenizer, make_tokenizer
from lobster.tokenization.vocabulary import SPECIAL_TOKENS, VOCABULARY_SIZE, smiles_tokens

__all__ = ["SPECIAL_TOKENS", "VOCABULARY_SIZE", "load_tokenizer", "make_tokenizer", "smiles_tokens"]
