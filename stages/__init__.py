"""The pipeline's stages: each reads, makes one call into `sid`, and writes. Run as `python -m stages.<name>`."""
