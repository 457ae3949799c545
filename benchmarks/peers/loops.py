"""Loops over tasks and runs, one after another, as most PyTorch code has them.

The libraries that are used in this way differ in two functions: how a module is adapted to a task, and how
MAML's gradient of one task comes about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers import torch_modules as modules
from benchmarks.peers.work import Entry, Images, SineBatch, Training, one_run
from metalib.tasks.family import BLOCK
from metalib.training.config import TrainingConfig

Batch = tuple[Tensor, Tensor]
State = dict[str, Tensor]


@dataclass(frozen=True)
class Loops:
    """The works of a library that takes one task at a time.

    Attributes:
        adapt: takes one step of SGD on each minibatch, in place: (model, minibatches, α, criterion).
        add_maml_gradient: adds MAML's gradient of one task to the `grad` of the model's weights:
            (model, minibatches, α).
    """

    adapt: Callable[[nn.Module, Sequence[Batch], float, Callable[[Tensor, Tensor], Tensor]], None]
    add_maml_gradient: Callable[[nn.Module, Sequence[Batch], float], None]

    def maml(self, work: SineBatch) -> Entry:
        """Return the mean of MAML's gradients over the tasks."""
        model, tasks = modules.loaded(work.phi), sine_tasks(work)

        def call() -> State:
            model.zero_grad()
            for batches in tasks:
                self.add_maml_gradient(model, batches, work.alpha)
            return {name: weight.grad / len(tasks) for name, weight in model.named_parameters()}

        return Entry(call, lambda state: [modules.from_module(state, work.phi)])

    def reptile(self, work: SineBatch) -> Entry:
        """Return the mean over tasks of φ_1 − φ_{k+1}."""
        model, tasks = modules.loaded(work.phi), sine_tasks(work)
        before = copy_of(model)

        def call() -> State:
            total = {name: torch.zeros_like(value) for name, value in before.items()}
            for batches in tasks:
                self.adapt(model, batches, work.alpha, F.mse_loss)
                with torch.no_grad():
                    for name, weight in model.named_parameters():
                        total[name] += before[name] - weight
                        weight.copy_(before[name])
            return {name: value / len(tasks) for name, value in total.items()}

        return Entry(call, lambda state: [modules.from_module(state, work.phi)])

    def omniglot(self, work: Images) -> Entry:
        """Return φ after an outer step of Reptile, one run after another."""
        runs = [modules.loaded(phi, work.net) for phi in work.phi]
        tasks = image_tasks(work)

        def call() -> list[State]:
            moved = []
            for model, batches in zip(runs, tasks, strict=True):
                before = copy_of(model)
                self.adapt(model, batches, work.alpha, modules.summed_cross_entropy)
                with torch.no_grad():
                    ends = {
                        name: torch.lerp(before[name], weight, work.epsilon)
                        for name, weight in model.named_parameters()
                    }
                    for name, weight in model.named_parameters():
                        weight.copy_(before[name])
                moved.append(ends)
            return moved

        return Entry(
            call, lambda states: [modules.from_module(state, work.phi[0], work.net) for state in states]
        )

    def training(self, work: Training) -> Entry:
        """Return the weights of all runs after training, one run after another."""
        phi = {config.seed: one_run(work.family.initialize(config.seed)) for config in work.configs}

        def call() -> list[State]:
            return [self._train(config, modules.loaded(phi[config.seed]), work) for config in work.configs]

        return Entry(call, lambda states: [modules.from_module(state, phi[0]) for state in states])

    def _train(self, config: TrainingConfig, model: nn.Module, work: Training) -> State:
        for iteration, batches in enumerate(sampled(config, work)):
            epsilon = config.epsilon_at(iteration)
            if config.algorithm == "maml":
                model.zero_grad()
                self.add_maml_gradient(model, batches, config.alpha)
                with torch.no_grad():
                    for weight in model.parameters():
                        weight -= epsilon * config.alpha * weight.grad
            else:
                self._first_order_step(config, model, batches, epsilon)
        return copy_of(model)

    def _first_order_step(
        self, config: TrainingConfig, model: nn.Module, batches: Sequence[Batch], epsilon: float
    ) -> None:
        """Move by ε times the first, the last, or all of the inner steps."""
        before = since = copy_of(model)
        if config.algorithm == "joint":
            batches = batches[:1]
        if config.algorithm == "fomaml":
            self.adapt(model, batches[:-1], config.alpha, F.mse_loss)
            since, batches = copy_of(model), batches[-1:]
        self.adapt(model, batches, config.alpha, F.mse_loss)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.copy_(before[name] + epsilon * (weight - since[name]))


def copy_of(model: nn.Module) -> State:
    """Return a copy of the weights."""
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def sampled(config: TrainingConfig, work: Training) -> Iterator[list[Batch]]:
    """Yield the minibatches of every outer iteration, sampled block by block."""
    for block in range(-(-config.iterations // BLOCK)):
        arrays = work.family.sample(config.seed, block, config.tasks, config.k)
        x, y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])
        for i in range(min(BLOCK, config.iterations - block * BLOCK)):
            yield list(zip(x[i, 0], y[i, 0], strict=True))


def sine_tasks(work: SineBatch) -> list[list[Batch]]:
    """Return the minibatches of every task."""
    x, y = torch.from_numpy(work.x), torch.from_numpy(work.y)
    return [list(zip(x_task, y_task, strict=True)) for x_task, y_task in zip(x, y, strict=True)]


def image_tasks(work: Images) -> list[list[Batch]]:
    """Return the minibatches of every run."""
    images, labels = modules.to_images(work.images), torch.from_numpy(np.ascontiguousarray(work.labels))
    return [list(zip(x_run, y_run, strict=True)) for x_run, y_run in zip(images, labels, strict=True)]
