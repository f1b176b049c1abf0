"""Semantic IDs for generative recommenders: quantize item embeddings, resolve collisions, export for trainers."""

__version__ = "0.1.0"
