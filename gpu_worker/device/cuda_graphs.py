"""CUDA graphs: a pass that the card repeats by itself, where its kernels take longer to start than to run.

What is recorded reads its inputs at fixed places of the card's memory: the next ones are copied there.
Off until somebody has measured it on a card (`CUDA_GRAPHS=1`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SETTING = "CUDA_GRAPHS"
#: Each keeps the activations of a pass.
_MAX_GRAPHS = 2
#: Passes that run as usual first: libraries create what may not be created while a graph is recorded.
_WARM_UPS = 3

#: Computes a loss and its gradients from inputs on the card.
Pass = Callable[[Mapping[str, Tensor]], Tensor]


def are_enabled(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether graphs are asked for."""
    return environ.get(SETTING) == "1"


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    inputs: dict[str, Tensor]
    loss: Tensor
    grads: list[Tensor | None]


class GraphedPasses:
    """Runs passes and replays them from the fourth time on; those of a kind differ in their inputs alone."""

    def __init__(self, device: torch.device, parameters: Sequence[nn.Parameter]) -> None:
        self._device, self._parameters = device, parameters
        self._recordings: dict[Hashable, _Recording] = {}
        self._warm_ups: dict[Hashable, int] = {}

    def run(self, kind: Hashable, inputs: Mapping[str, Tensor], run_pass: Pass) -> Tensor:
        """Return the loss of pinned inputs; the parameters then have their gradients, and had none before."""
        recording = self._recordings.get(kind)
        if recording is None:
            done = self._warm_ups.get(kind, 0)
            self._warm_ups[kind] = done + 1
            if done < _WARM_UPS or len(self._recordings) == _MAX_GRAPHS:
                return run_pass(self._send(inputs))
            recording = self._recordings[kind] = self._record(inputs, run_pass)
        for name, value in inputs.items():
            recording.inputs[name].copy_(value, non_blocking=True)
        recording.graph.replay()
        for parameter, grad in zip(self._parameters, recording.grads, strict=True):
            parameter.grad = grad
        return recording.loss.clone()  # the next replay writes over it

    def _send(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.to(self._device, non_blocking=True) for name, value in inputs.items()}

    def _record(self, inputs: Mapping[str, Tensor], run_pass: Pass) -> _Recording:
        """Record without computing: what is allocated now stays the graph's own."""
        places = self._send(inputs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = run_pass(places)
        return _Recording(graph, places, loss, [parameter.grad for parameter in self._parameters])
