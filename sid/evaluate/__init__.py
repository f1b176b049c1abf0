"""How well a small generative recommender, trained on an index's Semantic IDs, recommends; and what it has to beat."""
