"""metalib with its outer step compiled: `--compile yes` of the command line.

What is compiled is a whole outer step, so that meta-gradients are taken with ε = 1 and read off what the step
moved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from benchmarks.peers.metalib_ import image_losses, runs_of, sine_losses, stack_of
from benchmarks.peers.work import Entry, Images, Peer, SineBatch, Training, UnableError
from companion.running.compiled import CompiledStep, compiled
from metalib.derivatives import MinibatchLoss
from metalib.params import Params, scale, subtract
from metalib.training.config import TrainingConfig
from metalib.training.loop import train
from metalib.training.outer import OuterStep, outer_step

CPU = torch.device("cpu")


def stepped(
    configs: Sequence[TrainingConfig], phi: Params, losses: list[MinibatchLoss], epsilon: float
) -> Callable[[], Params]:
    """Return what takes an outer step, all tasks of a run side by side."""
    step = compiled(outer_step(configs, configs[0].tasks, CPU, next(iter(phi.values())).dtype))
    state = step.initial_state(phi)

    def call() -> Params:
        moved = step(state, [losses], epsilon)[0].phi
        require_compiled(step)
        return moved

    return call


def require_compiled(step: OuterStep) -> None:
    """Raise `UnableError` if the step has fallen back on the one that is not compiled; it says why itself."""
    if isinstance(step, CompiledStep) and any(isinstance(taken, OuterStep) for taken in step.made):
        raise UnableError("it fell back on the outer step that is not compiled, see above")


def meta_gradient(work: SineBatch, algorithm: str, factor: float) -> Entry:
    """Return `factor` times what an outer step with ε = 1 moves φ against."""
    config = TrainingConfig(algorithm=algorithm, k=work.k, tasks=work.tasks, alpha=work.alpha, epsilon=1.0)
    phi = stack_of([work.phi])
    step = stepped([config], phi, sine_losses(work), 1.0)
    return Entry(step, lambda moved: runs_of(scale(subtract(phi, moved), factor)))


def maml(work: SineBatch) -> Entry:
    """Return the mean of MAML's gradients over the tasks."""
    return meta_gradient(work, "maml", 1.0 / work.alpha)


def reptile(work: SineBatch) -> Entry:
    """Return the mean over tasks of φ_1 − φ_{k+1}."""
    return meta_gradient(work, "reptile", 1.0)


def omniglot(work: Images) -> Entry:
    """Return φ after an outer step of Reptile, all runs as one stack."""
    config = TrainingConfig(k=work.k, alpha=work.alpha, epsilon=work.epsilon)
    step = stepped([config] * work.runs, stack_of(work.phi), image_losses(work), work.epsilon)
    return Entry(step, runs_of)


def training(work: Training) -> Entry:
    """Return the weights of all runs after training; it is compiled once, in the first call."""
    kept: list[OuterStep] = []

    def prepare(step: OuterStep) -> OuterStep:
        if not kept:
            kept.append(compiled(step))
        return kept[0]

    def call() -> Params:
        phi = train(work.family, work.configs, prepare=prepare).phi
        require_compiled(kept[0])
        return phi

    return Entry(call, runs_of)


PEER = Peer(
    "metalib, compiled",
    "metalib",
    {"maml": maml, "reptile": reptile, "omniglot": omniglot, "training": training},
    compiles=True,
    double=None,
)
