"""AutoencoderQuantizer: codebooks in the latent space of two perceptrons. RQ-VAE and RQ-KMeans+ end here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sid.arrays import Codes, Vectors, check_codes
from sid.errors import InputError
from sid.quantizers import model_file
from sid.quantizers.base import Scaling
from sid.quantizers.residual import check_dim, next_costs, quantize, sum_codewords

KIND = "autoencoder"

_BLOCK_ROWS = 4096
_FLOAT64_BITS = 53


@dataclass(frozen=True)
class Mlp:
    """A perceptron with ReLU between its layers, as arrays.

    Attributes:
        weights: a layer's (out, in) float32.
        biases: a layer's (out,) float32.
        residual: whether the input is added to the output.
    """

    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    residual: bool = False

    def __post_init__(self) -> None:
        """Check the layers against each other; InputError where they don't fit."""
        if not self.weights or len(self.weights) != len(self.biases):
            raise InputError(f"a perceptron has {len(self.weights)} weights, {len(self.biases)} biases, must be pairs")
        width = self.dim
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
                raise InputError(
                    f"layer {number} has weight {weight.shape} and bias {bias.shape}, must be (out, {width}) and (out,)"
                )
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise InputError(f"layer {number} holds NaN or Inf, must be finite")
            width = len(weight)
        if self.residual and width != self.dim:
            raise InputError(f"a residual perceptron maps {self.dim} to {width} dimensions, must be the same")

    @property
    def dim(self) -> int:
        """The dimension of its input."""
        return int(self.weights[0].shape[1])

    @property
    def out_dim(self) -> int:
        """The dimension of its output."""
        return len(self.weights[-1])

    def state(self) -> dict[str, Any]:
        """Tensors and plain values, for `from_state`."""
        return {
            "weights": [torch.from_numpy(weight) for weight in self.weights],
            "biases": [torch.from_numpy(bias) for bias in self.biases],
            "residual": self.residual,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Mlp:
        """The perceptron whose `state` this is."""
        return cls(
            tuple(weight.numpy() for weight in state["weights"]),
            tuple(bias.numpy() for bias in state["biases"]),
            bool(state["residual"]),
        )


class ExactMlp:
    """A perceptron whose output for a row depends on no other row, on no block size and on no device, to the bit.

    A library adds up a product's terms in an order that varies with the shape of the call, and rounds after each.
    Here both factors are first rounded to integers, short enough that every partial sum of their products is an
    integer below 2^53: float64 then adds without rounding, and the order doesn't matter. A factor keeps 20 bits or
    more below 2^13 inputs, relative to the largest of its row (input) or output (weight): about as close to the
    perceptron in real numbers as plain float32.

    Args:
        mlp: the layers.
        device: where to work.
    """

    def __init__(self, mlp: Mlp, device: str) -> None:
        self._residual = mlp.residual
        self._layers = []
        for weight, bias in zip(mlp.weights, mlp.biases, strict=True):
            grid = 2.0 ** -((_FLOAT64_BITS - math.ceil(math.log2(weight.shape[1]))) // 2)
            whole, unit = _integers(torch.from_numpy(weight).to(device, torch.float64), grid)
            self._layers.append((grid, whole.t(), unit.t(), torch.from_numpy(bias).to(device, torch.float64)))

    def __call__(self, rows: Tensor) -> Tensor:
        """(n, in) float32 -> (n, out) float32."""
        hidden = rows.double()  # (n, in)
        for number, (grid, weight, weight_unit, bias) in enumerate(self._layers):
            if number:
                hidden = hidden.clamp_(min=0)
            whole, unit = _integers(hidden, grid)
            hidden = (whole @ weight).mul_(unit).mul_(weight_unit).add_(bias)  # (n, out); units are powers of 2
        return (hidden + rows if self._residual else hidden).float()


def _integers(matrix: Tensor, grid: float) -> tuple[Tensor, Tensor]:
    """Each row of (n, m) as integers of at most 1 / grid, and their unit (n, 1), a power of 2; grid is one too."""
    largest = matrix.abs().amax(dim=1, keepdim=True)
    mantissa, _ = torch.frexp(largest)
    # largest / mantissa is 2^exponent without rounding, which ldexp does not promise
    unit = torch.where(largest > 0, largest / mantissa, torch.ones_like(largest)) * grid
    return (matrix / unit).round_(), unit


@dataclass(frozen=True)
class AutoencoderQuantizer:
    """Encoder, residual quantization of its output by nearest codeword, decoder.

    Attributes:
        encoder: D to e_dim, on centred and scaled rows.
        codebooks: L arrays (K, e_dim) float32; K may differ.
        decoder: e_dim to D, on the sum of a row's codewords.
        scaling: what is done to a row before the encoder, and undone after the decoder.
        method: the name of the method that fitted it.
        device: where `encode` and `decode` work, e.g. 'cpu' or 'cuda'.
        info: the config and figures of the fit, as plain values; saved with it, of no effect.
    """

    encoder: Mlp
    codebooks: tuple[Vectors, ...]
    decoder: Mlp
    scaling: Scaling
    method: str = "rqvae"
    device: str = "cpu"
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the parts against each other; InputError where they don't fit."""
        if not self.codebooks:
            raise InputError("an autoencoder quantizer needs at least one codebook")
        e_dim = self.encoder.out_dim
        if (self.encoder.dim, self.decoder.dim, self.decoder.out_dim) != (self.dim, e_dim, self.dim):
            raise InputError(
                f"encoder {self.encoder.dim} -> {e_dim} and decoder {self.decoder.dim} -> {self.decoder.out_dim}, "
                f"must be {self.dim} -> e_dim and e_dim -> {self.dim}"
            )
        for level, book in enumerate(self.codebooks):
            if book.ndim != 2 or book.shape[1] != e_dim or book.dtype != np.float32 or not np.isfinite(book).all():
                raise InputError(
                    f"codebook {level} has shape {book.shape} and dtype {book.dtype}, "
                    f"must be (K, {e_dim}) float32 and finite"
                )

    @property
    def dim(self) -> int:
        """D, the dimension of the vectors it takes."""
        return len(self.scaling.mean)

    @property
    def code_sizes(self) -> tuple[int, ...]:
        """Codes there are at each level, read off the codebooks."""
        return tuple(len(book) for book in self.codebooks)

    def latents(self, vectors: Vectors) -> Vectors:
        """(N, D) -> (N, e_dim) float32: the encoder's output; a row's never depends on the other rows."""
        check_dim(vectors, self.dim)
        exact = ExactMlp(self.encoder, self.device)
        out = np.empty((len(vectors), self.encoder.out_dim), np.float32)
        for start in range(0, len(vectors), _BLOCK_ROWS):
            rows = self.scaling.apply(vectors[start : start + _BLOCK_ROWS])
            out[start : start + len(rows)] = exact(torch.from_numpy(rows).to(self.device)).cpu().numpy()
        return out

    def costs(self, vectors: Vectors, prefix: Codes) -> NDArray[np.float64]:
        """(n, D), (n, l) -> (n, K_l) float64: what each code of the next level costs, see `Quantizer`."""
        return next_costs(self.latents(vectors), self.codebooks, prefix)

    def encode(self, vectors: Vectors) -> Codes:
        """(N, D) -> (N, L) int32, nearest code by level; a row's codes never depend on the other rows."""
        check_dim(vectors, self.dim)
        books = [torch.from_numpy(book).to(self.device) for book in self.codebooks]
        exact = ExactMlp(self.encoder, self.device)
        codes = np.empty((len(vectors), len(books)), np.int32)
        for start in range(0, len(vectors), _BLOCK_ROWS):
            rows = self.scaling.apply(vectors[start : start + _BLOCK_ROWS])
            found = quantize(exact(torch.from_numpy(rows).to(self.device)), books)
            codes[start : start + len(rows)] = found.cpu().numpy()
        return codes

    def decode(self, codes: Codes) -> Vectors:
        """(N, L) -> (N, D) float32, in the input space."""
        codes = check_codes(codes, self.code_sizes, "codes")
        exact = ExactMlp(self.decoder, self.device)
        vectors = np.empty((len(codes), self.dim), np.float32)
        for start in range(0, len(codes), _BLOCK_ROWS):
            words = sum_codewords(codes[start : start + _BLOCK_ROWS], self.codebooks)
            decoded = exact(torch.from_numpy(words).to(self.device)).cpu().numpy()
            vectors[start : start + len(words)] = self.scaling.undo(decoded)
        return vectors

    def save(self, path: str | Path) -> None:
        """Write one .pth, which `sid.quantizers.methods.load` reads."""
        state = {
            "method": self.method,
            "encoder": self.encoder.state(),
            "codebooks": [torch.from_numpy(book) for book in self.codebooks],
            "decoder": self.decoder.state(),
            "mean": torch.from_numpy(self.scaling.mean),
            "scale": self.scaling.scale,
            "info": dict(self.info),
        }
        model_file.write(path, KIND, state)

    @classmethod
    def from_state(cls, state: Mapping[str, Any], device: str) -> AutoencoderQuantizer:
        """The quantizer that `save` wrote, to work on `device`."""
        return cls(
            Mlp.from_state(state["encoder"]),
            tuple(book.numpy() for book in state["codebooks"]),
            Mlp.from_state(state["decoder"]),
            Scaling(state["mean"].numpy(), float(state["scale"])),
            str(state["method"]),
            device,
            state["info"],
        )
