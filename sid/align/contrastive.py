"""A small network on the vectors, trained so that items that are used together come near each other.

Pairs are drawn from the graph of the train split by their weight. Each pair's second item is to be found among those of
the whole batch (InfoNCE: van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018), with
the correction for how often an item is drawn at all (Yi et al., Sampling-Bias-Corrected Neural Modeling, RecSys 2019).
`keep` times the distance from the text's own direction is added, so that items without interactions, which go through
the same network, stay where their text puts them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sid.align.base import UNCHANGED, Aligned, Aligner, Inputs, Make
from sid.align.directions import Directions
from sid.align.graph import Graph
from sid.arrays import chunks
from sid.errors import InputError
from sid.files import round6
from sid.params import Contrastive

if TYPE_CHECKING:
    from torch import Tensor

    from sid.quantizers.training.states import Checkpoints

_CURVE = 50  # steps of which the mean loss is one figure, at the most so many figures
_CODE = ("align/contrastive.py", "align/directions.py", "align/graph.py", "arrays.py")
_WARM_UP = 0.05  # share of the steps over which the learning rate rises


def align(inputs: Inputs, make: Make) -> Aligned:
    """Train the network and write what it makes of every item; nothing where the graph has no edge.

    Args:
        inputs: `config` is the section `align.contrastive`; an unfinished training continues from `checkpoints`.
        make: called once with D.

    Raises:
        InputError: the loss became NaN or infinite.
    """
    config = inputs.config
    assert isinstance(config, Contrastive)
    graph = inputs.graph
    if graph.pairs == 0:
        return UNCHANGED
    found = inputs.directions
    weights, losses = _train(found, graph, config, inputs)
    aligner = Aligner("contrastive", {"centre": found.centre, **weights})
    out = make(found.units.shape[1])
    for part in chunks(len(out), 24 * max(out.shape[1], config.hidden)):
        out[part] = aligner.apply(inputs.vectors[part])
    return Aligned(aligner, {"pairs_shown": _steps(config) * config.batch_size, "loss": losses})


def _draw(
    graph: Graph, ends: NDArray[np.float64], count: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`count` pairs of items, each as likely as its weight says, in either order; (P,) ends of the weights' sums."""
    at = np.minimum(np.searchsorted(ends, generator.random(count) * ends[-1], "right"), len(ends) - 1)
    first = np.searchsorted(graph.after.indptr, at, "right") - 1
    second = graph.after.indices[at].astype(np.int64)
    swapped = generator.random(count) < 0.5
    return np.where(swapped, second, first), np.where(swapped, first, second)


def _steps(config: Contrastive) -> int:
    return max(1, config.pairs // config.batch_size)


def _train(
    found: Directions, graph: Graph, config: Contrastive, inputs: Inputs
) -> tuple[dict[str, NDArray[np.float32]], list[float]]:
    """The network's arrays as `Aligner` names them, and the mean losses of stretches of the training."""
    import torch

    dim, steps = found.units.shape[1], _steps(config)
    generator = torch.Generator().manual_seed(inputs.seed)
    hidden = torch.randn(dim, config.hidden, generator=generator) / dim**0.5
    # the network starts as the identity: what it adds is zero
    shapes = {"hidden": hidden, "bias": torch.zeros(config.hidden), "out": torch.zeros(config.hidden, dim)}
    weights = {name: value.requires_grad_() for name, value in shapes.items()}
    learner = torch.optim.AdamW(weights.values(), lr=config.lr, weight_decay=0.01)
    ends = np.cumsum(graph.after.data, dtype=np.float64)
    rarity = torch.tensor(np.log(np.maximum(graph.degrees, 1e-12) / graph.degrees.sum()), dtype=torch.float32)
    states = _states(inputs, config, graph)
    done, losses = 0, []
    saved = states.newest() if states is not None else None
    if saved is not None:
        done, losses = saved["step"], saved["losses"]
        learner.load_state_dict(saved["learner"])
        with torch.no_grad():
            for name, value in weights.items():
                value.copy_(saved["weights"][name])
        tqdm.write(f"contrastive: resuming after step {done:,}")
    for step in tqdm(range(done, steps), "contrastive", initial=done, total=steps, unit="step", disable=None):
        first, second = _draw(graph, ends, config.batch_size, np.random.default_rng([inputs.seed, step]))
        rate = min((step + 1) / max(1.0, _WARM_UP * steps), 1.0) * 0.5 * (1 + np.cos(np.pi * step / steps))
        for group in learner.param_groups:
            group["lr"] = float(config.lr * rate)  # as a NumPy number, a state of it could not be read
        loss = _loss(weights, found, rarity, first, second, config)
        learner.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        learner.step()
        losses.append(float(loss.detach()))
        if not np.isfinite(losses[-1]):
            raise InputError(
                f"align.contrastive: training failed at step {step + 1} of {steps}: the loss is {losses[-1]}; "
                "lower lr or raise temperature"
            )
        if states is not None and (states.due() or step + 1 == steps):
            state = {name: value.detach() for name, value in weights.items()}
            states.write(
                step + 1, {"step": step + 1, "losses": losses, "weights": state, "learner": learner.state_dict()}
            )
    parts = np.array_split(np.array(losses), min(_CURVE, len(losses)))
    return {name: value.detach().numpy() for name, value in weights.items()}, [round6(float(p.mean())) for p in parts]


def _loss(
    weights: dict[str, Tensor],
    found: Directions,
    rarity: Tensor,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    config: Contrastive,
) -> Tensor:
    import torch
    from torch.nn import functional

    text = torch.from_numpy(np.concatenate([found.units[first], found.units[second]]))
    inner = functional.gelu(text @ weights["hidden"] + weights["bias"], approximate="tanh")
    moved = functional.normalize(text + inner @ weights["out"], dim=1)
    query, key = moved.chunk(2)
    items = torch.from_numpy(second)
    scores = query @ key.T / config.temperature - rarity[items]
    same = items[None, :] == items[:, None]
    same.fill_diagonal_(False)  # an item drawn twice is no counterexample of itself
    scores = scores.masked_fill(same, -torch.inf)
    stay = (1 - (moved * text).sum(dim=1)).mean()
    return functional.cross_entropy(scores, torch.arange(len(items))) + config.keep * stay


def _states(inputs: Inputs, config: Contrastive, graph: Graph) -> Checkpoints | None:
    if inputs.checkpoints is None:
        return None
    from sid.quantizers.training import states

    edges = [graph.after.indptr, graph.after.indices, graph.after.data]
    params = {**config.model_dump(exclude={"save_limit"}), "seed": inputs.seed}
    key = states.key([inputs.vectors, *edges], "contrastive", params, _CODE)
    return states.Checkpoints(inputs.checkpoints / key, config.save_limit, "step")
