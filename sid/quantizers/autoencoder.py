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

from sid.arrays import Codes, Vectors, check_codes, chunks
from sid.errors import InputError
from sid.quantizers import model_file
from sid.quantizers.base import Scaling
from sid.quantizers.residual import Coder, KeepsCoder, check_codebooks, check_dim, on_device, sum_codewords

KIND = "autoencoder"

_BLOCK_BYTES = 16 << 20  # of the widest layer's float64 values
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

    @property
    def row_bytes(self) -> int:
        """What a row takes in float64 at the widest layer."""
        return 8 * max(self.dim, *map(len, self.weights))

    def state(self) -> dict[str, Any]:
        """Tensors and plain values, for `from_state`."""
        return {
            "weights": [torch.from_numpy(weight) for weight in self.weights],
            "biases": [torch.from_numpy(bias) for bias in self.biases],
            "residual": self.residual,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Mlp:
        """The perceptron whose `state` this is; InputError where it isn't one."""
        return cls(
            model_file.arrays(state, "weights", 2),
            model_file.arrays(state, "biases", 1),
            model_file.value(state, "residual", bool),
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
class AutoencoderQuantizer(KeepsCoder):
    """Encoder, residual quantization of its output by nearest codeword, decoder.

    Attributes:
        encoder: D to e_dim, on centred and scaled rows.
        codebooks: L arrays (K, e_dim) float32; K may differ.
        decoder: e_dim to D, on the sum of a row's codewords.
        scaling: what is done to a row before the encoder, and undone after the decoder.
        method: the name of the method that fitted it.
        device: where `encode` and `decode` work, e.g. 'cpu' or 'cuda'.
        info: the config and figures of the fit, as plain values.
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
        e_dim = self.encoder.out_dim
        if (self.encoder.dim, self.decoder.dim, self.decoder.out_dim) != (self.dim, e_dim, self.dim):
            raise InputError(
                f"encoder {self.encoder.dim} -> {e_dim} and decoder {self.decoder.dim} -> {self.decoder.out_dim}, "
                f"must be {self.dim} -> e_dim and e_dim -> {self.dim}"
            )
        check_codebooks(self.codebooks, e_dim)

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
        coder = self.coder
        out = np.empty((len(vectors), self.encoder.out_dim), np.float32)
        for part in chunks(len(vectors), coder.row_bytes, coder.budget_bytes):
            out[part] = coder.latents(vectors[part]).cpu().numpy()
        return out

    def encode(self, vectors: Vectors) -> Codes:
        """(N, D) -> (N, L) int32, the nearest code level by level; a row's codes never depend on the other rows."""
        check_dim(vectors, self.dim)
        return self.coder.encode(vectors)

    def costs(self, vectors: Vectors, prefix: Codes) -> NDArray[np.float64]:
        """Squared distances of what the prefix leaves to each code of the next level; see `Quantizer.costs`."""
        check_dim(vectors, self.dim)
        return self.coder.costs(vectors, prefix)

    def decode(self, codes: Codes) -> Vectors:
        """(N, L) -> (N, D) float32, in the input space."""
        codes = check_codes(codes, self.code_sizes, "codes")
        exact = ExactMlp(self.decoder, self.device)
        vectors = np.empty((len(codes), self.dim), np.float32)
        for part in chunks(len(codes), self.decoder.row_bytes, _BLOCK_BYTES):
            words = sum_codewords(codes[part], self.codebooks)
            decoded = exact(torch.from_numpy(words).to(self.device)).cpu().numpy()
            vectors[part] = self.scaling.undo(decoded)
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
        """The quantizer that `save` wrote, to work on `device`; InputError where the state isn't one."""
        return cls(
            _mlp(state, "encoder"),
            model_file.arrays(state, "codebooks", 2),
            _mlp(state, "decoder"),
            model_file.scaling(state),
            model_file.value(state, "method", str),
            device,
            model_file.value(state, "info", dict),
        )

    def make_coder(self) -> Coder:
        """As in `KeepsCoder`."""
        exact = ExactMlp(self.encoder, self.device)
        books = [torch.from_numpy(book).to(self.device) for book in self.codebooks]

        def latents(rows: Vectors) -> Tensor:
            return exact(torch.from_numpy(self.scaling.apply(rows)).to(self.device))

        scaled = on_device(self.scaling, torch.device(self.device))
        return Coder(latents, lambda rows: exact(scaled(rows)), books, self.encoder.row_bytes, _BLOCK_BYTES)


def _mlp(state: Mapping[str, Any], name: str) -> Mlp:
    try:
        return Mlp.from_state(model_file.value(state, name, dict))
    except InputError as error:
        raise InputError(f"{name}: {problem}" for problem in error.problems) from None
