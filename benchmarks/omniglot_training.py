"""Few-shot training on one thread against a plain PyTorch loop: 5 tasks of 5 Adam steps on 10 images.

    plain   `torch.nn` modules, `torch.optim.Adam`, and a loader that opens, resizes and turns one image
            file at a time, as the authors' code does
    memory  the same loop with all images in memory: what the network alone costs
    alone   one run in metalib
    stack   three runs as one stack in metalib, per run

The floor is the time of the matrix products of the convolutions and the dense layer alone, forward and
backward. The images are Omniglot's if METALIB_OMNIGLOT names a copy, else glyphs: the work is the same.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from companion.fewshot.settings import reptile_configs, reptile_family
from metalib.data.classes import ClassPool
from metalib.data.glyphs import glyphs
from metalib.data.omniglot import VARIABLE, omniglot
from metalib.tasks.family import BLOCK
from metalib.tasks.fewshot import FewShot
from metalib.training.config import TrainingConfig
from metalib.training.loop import train

WAYS = 5
ITERATIONS = BLOCK  # what is sampled is a whole block
ROUNDS = 5
CLASSES = 4_800
"""Length of the list that the authors' loader shuffles for every task: 1,200 characters in 4 orientations."""

Sample = tuple[np.ndarray, int]


class Files:
    """The authors' loader: a class is a folder, and an image is read when it is sampled."""

    def __init__(self, pool: ClassPool, folder: Path) -> None:
        folders = []
        for c, images in enumerate(pool.images[:300, ..., 0]):
            folders.append(folder / f"character{c}")
            folders[-1].mkdir()
            for i, image in enumerate(images):
                drawing = Image.fromarray(image.astype(bool)).resize((105, 105))
                drawing.save(folders[-1] / f"{i:02}.png")
        turned = [(path, 90 * turn) for turn in range(4) for path in folders]
        self.classes = (turned * CLASSES)[:CLASSES]

    def sample(self, chosen: tuple[Path, int], shots: int) -> list[np.ndarray]:
        """Read, resize and turn `shots` images of a class."""
        folder, rotation = chosen
        names = [name for name in os.listdir(folder) if name.endswith(".png")]  # noqa: PTH208 - as there
        random.shuffle(names)
        images = []
        for name in names[:shots]:
            with Image.open(folder / name) as image:
                images.append(np.array(image.resize((28, 28)).rotate(rotation)).astype("float32"))
        return images


class Memory:
    """A loader that finds all images in memory."""

    def __init__(self, pool: ClassPool) -> None:
        images = pool.images[..., 0].astype("float32")
        turned = [np.rot90(image, turn, axes=(1, 2)) for turn in range(4) for image in images]
        self.classes = (turned * CLASSES)[:CLASSES]

    def sample(self, chosen: np.ndarray, shots: int) -> list[np.ndarray]:
        """Return `shots` images of a class."""
        return [chosen[i] for i in random.sample(range(len(chosen)), shots)]

    def task(self, ways: int, shots: int) -> list[Sample]:
        """Return the labelled images of a new task, without shuffling the whole list of classes."""
        chosen = random.sample(self.classes, ways)
        return [(image, label) for label, one in enumerate(chosen) for image in self.sample(one, shots)]


def minibatches(samples: list[Sample], batch: int, count: int) -> Iterator[list[Sample]]:
    current: list[Sample] = []
    while True:
        random.shuffle(samples)
        for sample in samples:
            current.append(sample)
            if len(current) == batch:
                yield current
                current, count = [], count - 1
                if count == 0:
                    return


def plain_network() -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, pad in ((1, (0, 1, 0, 1)), (64, (0, 1, 0, 1)), (64, (1, 1, 1, 1)), (64, (0, 1, 0, 1))):
        norm = nn.BatchNorm2d(64, eps=1e-3, track_running_stats=False)
        layers += [nn.ZeroPad2d(pad), nn.Conv2d(inputs, 64, 3, stride=2), norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, WAYS))


def plain(config: TrainingConfig, family: FewShot, loader: Files | Memory) -> None:
    """Train one run as a plain loop does: one task, one minibatch, one image at a time."""
    random.seed(config.seed)
    torch.manual_seed(config.seed)
    model = plain_network()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.alpha, betas=(0.0, 0.999))
    for iteration in range(config.iterations):
        before = [weight.detach().clone() for weight in model.parameters()]
        after = [torch.zeros_like(weight) for weight in before]
        for _ in range(config.tasks):
            classes = list(loader.classes)
            random.shuffle(classes)
            samples = [
                (image, label)
                for label, chosen in enumerate(classes[:WAYS])
                for image in loader.sample(chosen, family.shots)
            ]
            for batch in minibatches(samples, family.batch, config.k):
                images = torch.from_numpy(np.stack([image for image, _ in batch]))[:, None]
                labels = torch.tensor([label for _, label in batch])
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(images), labels, reduction="sum").backward()
                optimizer.step()
            with torch.no_grad():
                for total, weight, start in zip(after, model.parameters(), before, strict=True):
                    total += weight / config.tasks
                    weight.copy_(start)
        with torch.no_grad():
            for weight, end in zip(model.parameters(), after, strict=True):
                weight.lerp_(end, config.epsilon_at(iteration))


def floor(batch: int, steps: int) -> None:
    """Do only the matrix products of `steps` inner steps: 3 per layer, 2 in the first."""
    shapes = ((14 * 14, 9, 64, 2), (7 * 7, 576, 64, 3), (4 * 4, 576, 64, 3), (2 * 2, 576, 64, 3))
    for rows, inputs, outputs, products in (*shapes, (1, 256, WAYS, 3)):
        a, b = torch.rand(batch * rows, inputs), torch.rand(inputs, outputs)
        for _ in range(steps * products):
            a @ b


def sampling(family: FewShot, config: TrainingConfig) -> None:
    """Draw all tasks and gather all images, without taking a step."""
    for block in range(config.iterations // BLOCK):
        sampled = family.sample(config.seed, block, config.tasks, config.k)
        arrays = {name: torch.from_numpy(array) for name, array in sampled.items()}
        for i in range(BLOCK):
            for task in range(config.tasks):
                for j in range(config.k):
                    family.loss({name: array[i, task, j][None] for name, array in arrays.items()})


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Print milliseconds per run and outer iteration, beside the floor, and the share of sampling."""
    torch.set_num_threads(1)
    pool = omniglot() if os.environ.get(VARIABLE) else glyphs()
    family, configs = reptile_family(pool, WAYS), reptile_configs(WAYS, ITERATIONS, seeds=(0, 1, 2))
    with tempfile.TemporaryDirectory() as folder:
        files, memory = Files(pool, Path(folder)), Memory(pool)
        ways: dict[str, tuple[int, Callable[[], object]]] = {
            "plain": (1, lambda: plain(configs[0], family, files)),
            "memory": (1, lambda: plain(configs[0], family, memory)),
            "alone": (1, lambda: train(family, configs[:1])),
            "stack": (3, lambda: train(family, configs)),
            "floor": (1, lambda: floor(family.batch, ITERATIONS * configs[0].tasks * configs[0].k)),
        }
        rounds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, (runs, work) in ways.items():
                rounds[name].append(seconds(work) / runs / ITERATIONS)
    best = {name: 1e3 * min(times) for name, times in rounds.items()}
    print(f"{pool.name}, {WAYS} ways: per run and outer iteration of 5 tasks x 5 steps x 10 images, 1 thread")
    for name, value in best.items():
        print(f"{name:8}{value:9.1f} ms{best['plain'] / value:9.2f} x as fast as plain")
    block = [TrainingConfig(**{**vars(configs[0]), "iterations": BLOCK})]
    sampled = 1e3 * min(seconds(lambda: sampling(family, block[0])) for _ in range(3)) / BLOCK
    print(f"sampling{sampled:9.2f} ms, {100 * sampled / best['alone']:.1f} % of an outer iteration")


if __name__ == "__main__":
    main()
