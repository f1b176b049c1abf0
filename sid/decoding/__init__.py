"""Generation with a language model, restricted to existing Semantic IDs, and the way back from tokens to items.

Works with anything that Hugging Face `generate` drives; neither transformers nor torch is imported here.
"""

from sid.decoding.constrained import AllowedTokens, prefix_allowed_tokens
from sid.decoding.lookup import ItemLookup, item_lookup
from sid.decoding.starts import initial_embeddings
from sid.decoding.transitions import Transitions
from sid.decoding.trie import Trie

__all__ = [
    "AllowedTokens",
    "ItemLookup",
    "Transitions",
    "Trie",
    "initial_embeddings",
    "item_lookup",
    "prefix_allowed_tokens",
]
