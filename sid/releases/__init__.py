"""Published indexes: a folder each, which later indexes continue without moving a Semantic ID."""
