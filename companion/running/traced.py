"""An outer step written down as a function of tensors alone: what a compiler or a CUDA graph can take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.fx import GraphModule

from metalib.derivatives import MinibatchLoss
from metalib.optimizers import State
from metalib.params import Factor, Params
from metalib.training.outer import OuterState, OuterStep

WARM_UP = 3
"""Steps before a CUDA graph is captured, in which libraries choose their kernels."""

Losses = Sequence[Sequence[MinibatchLoss]]
Code = Callable[..., Sequence[Tensor]]


class Captured:
    """Code with buffers of its own for what goes in and comes out, as a CUDA graph needs.

    On a GPU, a call copies its arguments into the buffers and replays the graph. Elsewhere it runs the code
    on the same buffers, which gives the same numbers.
    """

    def __init__(self, code: Code, example: Sequence[Tensor]) -> None:
        self.inputs = [tensor.clone() for tensor in example]
        self.outputs: Sequence[Tensor] = ()
        if example[0].device.type != "cuda":
            self.replay: Callable[[], None] = partial(self._run, code)
            return
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                code(*self.inputs)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._run(code)
        self.replay = graph.replay

    def __call__(self, *tensors: Tensor) -> list[Tensor]:
        """Return copies of what the code returns: the buffers are written again by the next call."""
        for buffer, tensor in zip(self.inputs, tensors, strict=True):
            buffer.copy_(tensor, non_blocking=True)
        self.replay()
        return [tensor.clone() for tensor in self.outputs]

    def _run(self, code: Code) -> None:
        self.outputs = code(*self.inputs)


def traced(step: OuterStep, state: OuterState, losses: Losses, epsilon: Factor) -> GraphModule:
    """Return the outer step as a function of tensors alone, in the order of `tensors_of`.

    Whatever a step does on the way, such as taking derivatives, is in the function as operations. What may
    differ from one iteration to the next is an argument: minibatches, ε, and how far optimizers have counted.
    """

    def function(*tensors: Tensor) -> tuple[Tensor, ...]:
        rest = iter(tensors)
        factor, *counts = next(rest), next(rest), next(rest)
        before = state_of(state, rest, counts)
        again = [[replace(one, inputs=next(rest), targets=next(rest)) for one in tasks] for tasks in losses]
        after, values = step(before, again, factor)
        return (values, *_listed(after))

    from torch.fx.experimental.proxy_tensor import make_fx  # which takes a second to import

    code: GraphModule = make_fx(function)(*tensors_of(state, losses, epsilon))
    return code


def tensors_of(state: OuterState, losses: Losses, epsilon: Factor) -> list[Tensor]:
    """Return everything that a step depends on: ε, counts of steps, weights, moments, minibatches.

    All lie row by row in memory, as compiled code does not look where they lie.
    """
    like = next(iter(state.phi.values()))
    if not isinstance(epsilon, Tensor):  # filled in on the device: copying a number there would wait for it
        epsilon = torch.full((), epsilon, dtype=like.dtype, device=like.device)
    counts = [
        torch.full((), one.steps, dtype=torch.float64, device=like.device)
        for one in (state.inner, state.outer)
    ]
    minibatches = [tensor for tasks in losses for one in tasks for tensor in (one.inputs, one.targets)]
    given = [epsilon.expand(len(like)), *counts, *_listed(state), *minibatches]
    return [tensor.contiguous() for tensor in given]


def _listed(state: OuterState) -> list[Tensor]:
    """Return weights and moments, in the order in which `state_of` takes them."""
    kept = [kept for one in (state.inner, state.outer) for kept in one.moments.values()]
    return [value for params in (state.phi, *kept) for value in params.values()]


def state_of(like: OuterState, tensors: Iterator[Tensor], counts: Sequence[int | Tensor]) -> OuterState:
    """Return the state of the form of another one whose `_listed` tensors these are."""

    def take(params: Params) -> Params:
        return {name: next(tensors) for name in params}

    phi = take(like.phi)
    states = [
        State(count, {name: take(kept) for name, kept in one.moments.items()})  # type: ignore[arg-type]
        for one, count in zip((like.inner, like.outer), counts, strict=True)
    ]
    return OuterState(phi, *states)
