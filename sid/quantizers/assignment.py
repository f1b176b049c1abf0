"""Give a whole catalogue its codes: by nearest codeword row by row, or with bounded sizes at every level."""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from sid.arrays import Codes, Vectors, check_codes, row_chunks
from sid.clustering.balanced import balanced_assign, size_bounds
from sid.quantizers.base import Quantizer


def nearest_codes(quantizer: Quantizer, vectors: Vectors) -> Codes:
    """(N, D) -> (N, L) int32 by `Quantizer.encode`, a chunk of rows at a time."""
    codes = np.empty((len(vectors), len(quantizer.code_sizes)), np.int32)
    for part in tqdm(list(row_chunks(len(vectors))), "index", unit="chunk", disable=None):
        found = quantizer.encode(vectors[part])
        codes[part] = check_codes(found, quantizer.code_sizes, f"codes of the {quantizer.method} model")
    return codes


def balanced_codes(quantizer: Quantizer, vectors: Vectors, slack: int, device: str) -> Codes:
    """(N, D) -> (N, L) int32 with every code of a level held by about as many items, whatever fitted the codebooks.

    At each level the residuals are assigned at the least total squared distance such that every code has
    `size_bounds(N, K, slack)` items. The codes of a row depend on all others: new items are coded by `encode`.

    Args:
        vectors: (N, D), N at least the largest codebook. Their latents are held in memory.
        slack: how far sizes may lie from N // K.
        device: 'cpu' or 'cuda'.

    Raises:
        InputError: fewer rows than codes at a level.
    """
    parts = [quantizer.latents(vectors[part]) for part in row_chunks(len(vectors))]
    residual = torch.from_numpy(np.concatenate(parts)).to(device)
    codes = np.empty((len(vectors), len(quantizer.code_sizes)), np.int32)
    for level, codebook in enumerate(tqdm(quantizer.codebooks, "index, balanced", unit="level", disable=None)):
        size_min, size_max = size_bounds(len(vectors), len(codebook), slack)
        book = torch.from_numpy(codebook).to(device)
        labels = balanced_assign(residual, book, size_min=size_min, size_max=size_max)
        residual -= book[labels]
        codes[:, level] = labels.cpu().numpy()
    return codes
