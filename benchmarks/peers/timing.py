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
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.peers.work import Entry, Peer, UnableError, Weights, in_double

SAMPLE = 0.02
TOLERANCE = {"double": 1e-9, "single": 1e-4}
PEERS = ("plain", "higher_", "torchopt_", "torch_func", "jax_", "metalib_", "metalib_compiled", "floor")
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


@dataclass(frozen=True)
class Ready:
    """A peer that has done a piece of work once.

    Attributes:
        peer: who.
        work: the name of the work.
        entry: does it again.
        found: the weights that came out.
        first: seconds of that first time, compiling included.
    """

    peer: Peer
    work: str
    entry: Entry
    found: list[Weights]
    first: float


def ready(name: str, work: Any, peers: Sequence[Peer], say: Callable[[str], None] = print) -> Iterator[Ready]:
    """Have every peer do the work once; yield those that can, and say why others cannot.

    Args:
        name: of the work, a key of `Peer.works`; peers that do not know it are passed over.
        work: what is to be done.
        peers: of these.
        say: is told one line per peer that cannot.
    """
    for peer in peers:
        if name in peer.works:
            entry, results = peer.works[name](work), []
            try:
                first = seconds(lambda call=entry.call, to=results: to.append(call()), 1, processor_seconds)
            except UnableError as reason:
                say(f"{peer.name} is left out of {name}: {reason}")
            else:
                yield Ready(peer, name, entry, entry.found(results[0]), first)


def deviation(found: list[Weights], expected: list[Weights]) -> float:
    """Return ‖found − expected‖ / ‖expected‖ over all weights of all runs; they are matched by name."""
    pairs = [
        (np.asarray(ours[name], "float64"), np.asarray(theirs[name], "float64"))
        for ours, theirs in zip(found, expected, strict=True)
        for name in theirs
    ]
    off = sum(float(((a - b) ** 2).sum()) for a, b in pairs)
    return float((off / sum(float((b**2).sum()) for _, b in pairs)) ** 0.5)


def require_agreement(name: str, work: Any, those: Sequence[Ready]) -> Iterator[Row]:
    """Yield how far everyone is from the first one in double precision, in double and in single precision.

    Raises:
        DisagreementError: if one of them is further away than `TOLERANCE` in double precision. Single
            precision decides only where there is no other; else it says how well a library rounds.
    """
    expected = _in_double(name, work, those[0].peer)
    for one in those:
        if not one.found:
            continue
        off = {"single": deviation(one.found, expected)}
        if one.peer.double:
            off["double"] = deviation(_in_double(name, work, one.peer), expected)
        precision = "double" if one.peer.double else "single"
        most = TOLERANCE[precision]
        if not off[precision] <= most:
            raise DisagreementError(
                f"{one.peer.name} differs from {those[0].peer.name} by {off[precision]:.1e} in {name}, in "
                f"{precision} precision; at most {most:g} is the same work: look for the error first"
            )
        for precision, value in off.items():
            yield {"library": one.peer.name, "quantity": f"deviation, {precision}", "value": value}


def _in_double(name: str, work: Any, peer: Peer) -> list[Weights]:
    """Return what a peer finds in double precision."""
    with peer.double() if peer.double else nullcontext():
        entry = peer.works[name](in_double(work))
        return entry.found(entry.call())


def processor_seconds() -> float:
    """Return the processor time of this process and of those that it waited for, such as compilers."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measure(those: Sequence[Ready], rounds: int, rng: np.random.Generator) -> Iterator[Row]:
    """Yield the milliseconds of everyone in every round, and the seconds that compiling took.

    Args:
        those: who does it; of several works that are to be compared, all.
        rounds: samples of each.
        rng: draws the order of each round.
    """
    counts = {}
    for one in those:
        again = seconds(one.entry.call, 1)
        counts[one.work, one.peer.name] = max(1, round(SAMPLE / again))
        if one.peer.compiles:
            about = {"work": one.work, "library": one.peer.name}
            yield {**about, "quantity": "compiling, s", "value": one.first - again}
    gc.collect()
    gc.freeze()  # what compilers have left would be looked through again and again
    for turn in range(rounds):
        for place in rng.permutation(len(those)):
            chosen = those[place]
            about = {"work": chosen.work, "library": chosen.peer.name}
            value = 1e3 * seconds(chosen.entry.call, counts[chosen.work, chosen.peer.name])
            yield {**about, "quantity": "ms", "round": turn, "value": value}


def seconds(call: Callable[[], Any], times: int, clock: Callable[[], float] = time.process_time) -> float:
    """Return the mean processor time of a call, without collecting garbage meanwhile."""
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
