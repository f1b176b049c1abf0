"""Texts -> vectors, by a sentence-transformers model; only texts that weren't encoded before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sid.arrays import Vectors
from sid.embed.store import Store
from sid.errors import InputError, require
from sid.files import digest as file_digest
from sid.params import Embed

SHARD = 2000
"""Texts that are encoded and kept together: what an interruption costs at the most."""

Encode = Callable[[Sequence[str]], Vectors]
"""(n,) texts -> (n, D) float32."""


def model(wanted: Embed) -> Encode:
    """The model that `embed.model` names, loaded.

    Raises:
        MissingExtra: sentence-transformers isn't installed.
        InputError: no such model.
    """
    require("embed", "sentence_transformers")
    import torch
    from sentence_transformers import SentenceTransformer

    device = wanted.device if wanted.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    try:
        loaded = SentenceTransformer(wanted.model, device=device)
    except (OSError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), "")[:200]
        said = f"embed.model is {wanted.model!r}: can't be loaded, must be a name or a folder ({reason})"
        raise InputError(said) from None
    if wanted.max_tokens is not None:
        loaded.max_seq_length = wanted.max_tokens

    def encode(texts: Sequence[str]) -> Vectors:
        found: Any = loaded.encode(
            list(texts),
            batch_size=wanted.batch_size,
            normalize_embeddings=wanted.normalize,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.asarray(found, np.float32)

    return encode


def key(wanted: Embed) -> str:
    """What the vectors of one model and its settings are kept under: its name, or its files' content, and more."""
    folder = Path(wanted.model)
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    content = [[str(path.relative_to(folder)), file_digest(path)] for path in files] or wanted.model
    return hashlib.sha256(json.dumps([content, wanted.max_tokens, wanted.normalize]).encode()).hexdigest()[:32]


def encode(texts: Sequence[str], store: Store, load: Callable[[], Encode], shard: int = SHARD) -> int:
    """Have every text in the store; the model is loaded only where one isn't.

    Longest texts first, so that batches hold texts of about one length, and memory runs out at once or never.

    Returns:
        How many texts were encoded.
    """
    missing = sorted({text for text in texts if text not in store}, key=lambda text: (-len(text), text))
    if not missing:
        return 0
    run = load()
    with tqdm(total=len(missing), desc="embed", unit="text", disable=None) as bar:
        for start in range(0, len(missing), shard):
            part = missing[start : start + shard]
            store.add(part, run(part))
            bar.update(len(part))
    return len(missing)
