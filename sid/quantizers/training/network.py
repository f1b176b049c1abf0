"""The network that the training loop trains: encoder, codebooks, decoder, and their losses."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sid.clustering.distances import half_norms, row_argmax, scores
from sid.clustering.sinkhorn import balanced_labels
from sid.quantizers.autoencoder import Mlp
from sid.quantizers.residual import cascade
from sid.quantizers.training.config import TrainingConfig


@dataclass(frozen=True)
class Frame:
    """Centre and size of the rows in the model's space, for networks whose output is in the same space as their input.

    Attributes:
        centre: (D,) float32, the mean row.
        unit: their root mean square about it, over all coordinates.
    """

    centre: Tensor
    unit: float


class Net(nn.Module):
    """A perceptron of Linear, BatchNorm, ReLU blocks with dropout before each Linear; nothing after the last.

    Args:
        widths: of its input, hidden layers and output.
        dropout_prob, bn: as in params.yaml.
        frame: None, or the frame of input and output, which then have the same width.
        residual: add the input to the output, and start as the identity.
    """

    centre: Tensor

    def __init__(
        self, widths: Sequence[int], dropout_prob: float, bn: bool, frame: Frame | None = None, residual: bool = False
    ) -> None:
        super().__init__()
        # plain lists for their types; the ModuleLists make the network's state of them
        self._linears = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
        self._norms = [nn.BatchNorm1d(width) for width in widths[1:-1]] if bn else []
        self.linears = nn.ModuleList(self._linears)
        self.norms = nn.ModuleList(self._norms)
        self.dropout_prob = dropout_prob
        self.residual = residual
        self.unit = 1.0 if frame is None else frame.unit
        self.framed = frame is not None
        self.register_buffer("centre", torch.zeros(1) if frame is None else frame.centre.clone())
        for linear in self._linears:
            nn.init.xavier_normal_(linear.weight)
            nn.init.zeros_(linear.bias)
        if residual:
            nn.init.zeros_(self._linears[-1].weight)

    def forward(self, x: Tensor) -> Tensor:
        """(n, widths[0]) -> (n, widths[-1])."""
        hidden = (x - self.centre) / self.unit if self.framed else x
        for number, linear in enumerate(self._linears):
            if self.dropout_prob:
                hidden = functional.dropout(hidden, self.dropout_prob, self.training)
            hidden = linear(hidden)
            if number < len(self._linears) - 1:
                if self._norms:
                    hidden = self._norms[number](hidden)
                hidden = functional.relu(hidden)
        if not self.framed:
            return hidden
        return hidden * self.unit + (x if self.residual else self.centre)

    @torch.no_grad()
    def freeze(self) -> Mlp:
        """The same function in evaluation as plain arrays: norms, centre and unit folded into the weights."""
        weights = [linear.weight.double() for linear in self._linears]
        biases = [linear.bias.double() for linear in self._linears]
        for number, norm in enumerate(self._norms):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
            weights[number] = weights[number] * gain[:, None]
            biases[number] = (biases[number] - norm.running_mean.double()) * gain + norm.bias.double()
        if self.framed:
            weights[0] = weights[0] / self.unit
            biases[0] = biases[0] - weights[0] @ self.centre.double()
            weights[-1] = weights[-1] * self.unit
            biases[-1] = biases[-1] * self.unit + (0 if self.residual else self.centre.double())
        return Mlp(
            tuple(weight.float().cpu().numpy() for weight in weights),
            tuple(bias.float().cpu().numpy() for bias in biases),
            self.residual,
        )


@dataclass(frozen=True)
class Losses:
    """A batch's losses (0-d tensors) and codes (n, L) int64, None before there are codebooks."""

    total: Tensor
    recon: Tensor
    quant: Tensor
    codes: Tensor | None


class Autoencoder(nn.Module):
    """Encoder, residual codebooks and decoder (Lee et al., CVPR 2022; for Semantic IDs Rajput et al., NeurIPS 2023).

    Args:
        encoder, decoder: (n, D) -> (n, e_dim) -> (n, D).
        codebooks: L tensors (K, e_dim), used once `initialised` is True.
        config: losses and Sinkhorn temperatures.
        unit: by which differences are divided before the losses, the root mean square of the rows.
    """

    initialised: Tensor

    def __init__(
        self, encoder: Net, codebooks: Sequence[Tensor], decoder: Net, config: TrainingConfig, initialised: bool = False
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.codebooks = nn.ParameterList(nn.Parameter(book.clone()) for book in codebooks)
        self.loss_type = config.loss_type
        self.quant_loss_weight = config.quant_loss_weight
        self.beta = config.beta
        self.epsilons = config.epsilons(len(codebooks))
        self.sk_iters = config.sk_iters
        self.unit = encoder.unit
        self.register_buffer("initialised", torch.tensor(initialised))

    @torch.no_grad()
    def choose(self, residual: Tensor, level: int, balance: bool) -> Tensor:
        """(n, e_dim) -> (n,) int64: the nearest codes, or the balanced ones where asked for."""
        book = self.codebooks[level].detach()
        half = half_norms(book)  # (K,)
        values = scores(residual.detach(), book, half)  # (n, K), x.c - |c|^2 / 2
        if balance and self.epsilons[level] > 0 and bool(torch.isfinite(values).all()):
            squares = residual.detach().square().sum(dim=1, keepdim=True)
            return balanced_labels(squares - 2 * values, self.epsilons[level], self.sk_iters)
        return row_argmax(values)

    def quantize(self, latents: Tensor, balance: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Code a batch, level by level.

        Only the codewords are cut off from the encoder, not the residuals, so that the commitment loss of every
        level reaches it.

        Args:
            latents: (n, e_dim).
            balance: use Sinkhorn at the levels that ask for it.

        Returns:
            The sum of codewords (n, e_dim), with the gradient of the latents; the loss, a mean over levels, rows
            and coordinates in squared units; codes (n, L).
        """
        loss = latents.new_zeros(())

        def choose(level: int, residual: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal loss
            book = self.codebooks[level]
            labels = self.choose(residual, level, balance)
            words = functional.embedding(labels, book)  # (n, e_dim)
            codebook = functional.mse_loss(words, residual.detach())
            commitment = functional.mse_loss(residual, words.detach())
            loss = loss + codebook + self.beta * commitment
            return labels, book.detach()

        levels = len(self.codebooks)
        codes, residual = cascade(latents, levels, choose, lambda left, book, labels: left - book[labels])
        return latents - residual.detach(), loss / (levels * self.unit**2), codes

    def losses(self, rows: Tensor, coded: bool, balance: bool = True) -> Losses:
        """The losses of a batch.

        Args:
            rows: (n, D).
            coded: decode codewords; else the latents themselves, as a plain autoencoder.
            balance: use Sinkhorn at the levels that ask for it.

        Returns:
            Reconstruction per coordinate, in units of the rows, and quantization per coordinate of the latents.
        """
        latents = self.encoder(rows).float()
        codes = None
        quant = latents.new_zeros(())
        words = latents
        if coded:
            with torch.autocast(rows.device.type, enabled=False):  # distances need their digits
                words, quant, codes = self.quantize(latents, balance)
        error = (self.decoder(words).float() - rows) / self.unit
        recon = error.square().mean() if self.loss_type == "mse" else error.abs().mean()
        return Losses(recon + self.quant_loss_weight * quant, recon, quant, codes)
