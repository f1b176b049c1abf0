"""The steps of an epoch on an accelerator: what they read and write is on the device, and none waits for the host.

A step is the same few hundred operations each time, which a host needs longer to ask for than the device to run, at the
usual sizes of batches. Recorded once as a CUDA graph, it is asked for as a whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_WARM = 3  # steps before one is recorded, in which libraries get ready; they count like any other
_LOOK = 1024  # steps between two looks at the losses, for which the host waits

Step = Callable[[Tensor, bool], tuple[Tensor, Tensor | None]]


class Steps:
    """Runs epochs.

    Args:
        rows: (N, D) held on the device.
        step: takes a batch (n, D), and whether there are codebooks; down the gradient. Returns loss, loss and largest
            gradient (3,), and the batch's codes (n, L) if there are codebooks.
        learner: whose learning rates are set; from tensors where steps are recorded.
        levels: L.
        record: replay steps from CUDA graphs; elsewhere than on CUDA they are run one by one as they would be recorded.
    """

    def __init__(
        self, rows: Tensor, step: Step, learner: torch.optim.Optimizer, levels: int, record: bool = False
    ) -> None:
        self._rows, self._step, self._learner, self._record = rows, step, learner, record
        count, device = len(rows), rows.device
        self._order = torch.empty(count, dtype=torch.int64, device=device)
        self._codes = torch.zeros(count, levels, dtype=torch.int64, device=device)  # in the order of the epoch
        self._at = torch.zeros(1, dtype=torch.int64, device=device)  # the step that comes next
        self._log = torch.zeros(0, 3, device=device)
        self._starts = torch.zeros(0, dtype=torch.int64, device=device)
        self._rates = torch.zeros(0, len(learner.param_groups), device=device)
        self._graphs: dict[tuple[int, bool], Any] = {}
        self._pool: Any = None
        self._ran: Counter[bool] = Counter()

    def epoch(
        self,
        order: Tensor,
        sizes: Sequence[int],
        rates: Sequence[Sequence[float]],
        coded: bool,
        check: Callable[..., None],
    ) -> tuple[Tensor, Tensor]:
        """One step for each batch.

        Args:
            order: (N,) row numbers, on the host.
            sizes: rows of each batch; they add up to N.
            rates: of each step, the learning rate of each of the learner's groups.
            coded: whether there are codebooks.
            check: called with the log so far, now and then and at last.

        Returns:
            The log (steps, 3), and the codes (N, L) of all rows if there are codebooks, in the order given.
        """
        steps, device = len(sizes), self._rows.device
        if len(self._log) != steps:
            self._graphs.clear()  # they read these
            self._log = torch.zeros(steps, 3, device=device)
            self._starts = torch.zeros(steps, dtype=torch.int64, device=device)
            self._rates = torch.zeros(steps, len(rates[0]), device=device)
        starts = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        for held, given in ((self._order, order), (self._starts, starts), (self._rates, torch.tensor(rates))):
            held.copy_(given.pin_memory() if device.type == "cuda" else given, non_blocking=True)
        self._at.zero_()
        for number, size in enumerate(sizes):
            self._run(size, coded, rates[number])
            if (number + 1) % _LOOK == 0 or number + 1 == steps:
                check(self._log[: number + 1])
        return self._log, self._codes

    def _run(self, size: int, coded: bool, rates: Sequence[float]) -> None:
        self._ran[coded] += 1
        if not self._record:
            for group, rate in zip(self._learner.param_groups, rates, strict=True):
                group["lr"] = rate
            self._body(size, coded)
            return
        if self._rows.device.type != "cuda":
            self._recorded(size, coded)
            return
        if self._ran[coded] <= _WARM:  # the learner makes what it keeps of codebooks at their first step
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self._recorded(size, coded)
            torch.cuda.current_stream().wait_stream(side)
            return
        graph = self._graphs.get((size, coded))
        if graph is None:
            self._learner.zero_grad(set_to_none=True)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):  # one after the other they may use the same memory
                self._recorded(size, coded)
            self._pool = self._pool or graph.pool()
            self._graphs[size, coded] = graph
        graph.replay()

    def _recorded(self, size: int, coded: bool) -> None:
        """A step that reads its learning rates from the device."""
        rates = self._rates.index_select(0, self._at).flatten()
        for place, group in enumerate(self._learner.param_groups):
            group["lr"].copy_(rates[place])
        self._body(size, coded)

    def _body(self, size: int, coded: bool) -> None:
        """The step at `_at`: nothing in it but the number of rows depends on which step it is."""
        places = self._starts.index_select(0, self._at) + torch.arange(size, device=self._rows.device)
        batch = self._rows.index_select(0, self._order.index_select(0, places))
        log, codes = self._step(batch, coded)
        self._log.index_copy_(0, self._at, log[None])
        if codes is not None:
            self._codes.index_copy_(0, places, codes)
        self._at += 1
