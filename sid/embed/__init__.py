"""Text to embeddings, for those who have none: a template over the items' fields, and a sentence-transformers model."""
