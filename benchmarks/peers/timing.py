"""Agreement first, then processor time in random order.

Time is what the process has of the processor, all its threads together, and not what a clock on the wall
shows: that would count what other programs do meanwhile. Each sample is the mean over as many calls as take
about `SAMPLE` seconds. In every round all libraries take a turn, in an order drawn anew.
"""

from __future__ import annotations

import gc
import importlib
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.peers.work import Peer, Weights, in_double

SAMPLE = 0.02
TOLERANCE = 1e-4
PEERS = ("plain", "higher_", "torchopt_", "torch_func", "jax_", "metalib_", "floor")
"""Files of the libraries; the first is what the others are compared with."""

Row = dict[str, Any]


class DisagreementError(Exception):
    """A library computes something else than the others."""


def available(names: Sequence[str] = PEERS, say: Callable[[str], None] = print) -> list[Peer]:
    """Return the peers whose libraries are installed, and say by name which are left out.

    Args:
        names: files of this folder.
        say: is told one line per library that is missing.
    """
    found = []
    for name in names:
        try:
            found.append(importlib.import_module(f"benchmarks.peers.{name}").PEER)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] in ("benchmarks", "metalib"):
                raise
            missing = f"{error.name} is not installed here; make benchmarks installs it"
            say(f"{name.strip('_')} is left out: {missing}")
    return found


def deviation(found: list[Weights], expected: list[Weights]) -> float:
    """Return ‖found − expected‖ / ‖expected‖ over all weights of all runs; they are matched by name."""
    pairs = [
        (np.asarray(ours[name], "float64"), np.asarray(theirs[name], "float64"))
        for ours, theirs in zip(found, expected, strict=True)
        for name in theirs
    ]
    off = sum(float(((a - b) ** 2).sum()) for a, b in pairs)
    return float((off / sum(float((b**2).sum()) for _, b in pairs)) ** 0.5)


def require_agreement(name: str, work: Any, peers: Sequence[Peer]) -> Iterator[Row]:
    """Yield how far every peer is from the first one in double precision, in double and in single precision.

    Raises:
        DisagreementError: if one of them is further away than `TOLERANCE` in double precision. Single
            precision decides nothing: it says how well a library rounds.
    """
    first = peers[0].works[name](in_double(work))
    expected = first.found(first.call())
    for peer in peers:
        for precision in ("double", "single"):
            if precision == "double":
                with peer.double():
                    entry = peer.works[name](in_double(work))
                    found = entry.found(entry.call())
            else:
                entry = peer.works[name](work)
                found = entry.found(entry.call())
            if not found:
                break
            off = deviation(found, expected)
            if precision == "double" and not off <= TOLERANCE:
                raise DisagreementError(
                    f"{peer.name} differs from {peers[0].name} by {off:.1e} in {name}, in double precision; "
                    f"at most {TOLERANCE:g} is the same work: look for the error before timing it"
                )
            yield {"library": peer.name, "quantity": f"deviation, {precision}", "value": off}


def processor_seconds() -> float:
    """Return the processor time of this process and of those that it waited for, such as compilers."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measure(
    name: str, work: Any, peers: Sequence[Peer], rounds: int, rng: np.random.Generator
) -> Iterator[Row]:
    """Yield the milliseconds of every peer in every round, and the seconds that compiling took.

    Args:
        name: of the work, a key of `Peer.works`.
        work: what is to be done.
        peers: who does it.
        rounds: samples per peer.
        rng: draws the order of each round.
    """
    calls, counts = {}, {}
    for peer in peers:
        call = peer.works[name](work).call
        first = seconds(call, 1, processor_seconds)
        call()
        again = seconds(call, 1)
        calls[peer.name], counts[peer.name] = call, max(1, round(SAMPLE / again))
        if peer.compiles:
            yield {"library": peer.name, "quantity": "compiling, s", "value": first - again}
    names = list(calls)
    for turn in range(rounds):
        for chosen in rng.permutation(names):
            value = 1e3 * seconds(calls[chosen], counts[chosen])
            yield {"library": str(chosen), "quantity": "ms", "round": turn, "value": value}


def seconds(call: Callable[[], Any], times: int, clock: Callable[[], float] = time.process_time) -> float:
    """Return the mean processor time of a call, without collecting garbage in between."""
    gc.collect()
    gc.disable()
    try:
        started = clock()
        for _ in range(times):
            call()
        return (clock() - started) / times
    finally:
        gc.enable()


def rates(rounds: int, weights: int) -> Iterator[Row]:
    """Yield what this machine can do: products and convolutions per second, and bytes moved.

    Args:
        rounds: samples.
        weights: float32 numbers that are read and written, as many as a stack of tasks has.
    """
    a = torch.rand(1024, 1024)
    images, kernel = torch.rand(25, 64, 14, 14), torch.rand(64, 64, 3, 3)
    images, kernel = (t.to(memory_format=torch.channels_last) for t in (images, kernel))
    source, target = torch.rand(weights), torch.rand(weights)
    cases: dict[str, tuple[Callable[[], Any], float]] = {
        "matrix product 1024 × 1024, GFLOP/s": (lambda: a @ a, 2 * 1024**3),
        "convolution 64 → 64 on 25 × 14 × 14, GFLOP/s": (
            lambda: torch.nn.functional.conv2d(images, kernel, padding=1),
            2 * 25 * 14 * 14 * 64 * 64 * 9,
        ),
        "copy, GB/s": (lambda: target.copy_(source), 2 * 4 * weights),
    }
    for case, (call, amount) in cases.items():
        call()
        times = max(1, round(SAMPLE / seconds(call, 1)))
        for turn in range(rounds):
            value = amount / seconds(call, times) / 1e9
            yield {"work": "machine", "library": "torch", "quantity": case, "round": turn, "value": value}
