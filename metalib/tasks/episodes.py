"""N-way K-shot tasks as places of images in a pool, and the episodes that evaluation is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from metalib.data.classes import ClassPool
from metalib.errors import require
from metalib.rng import generator
from metalib.tasks.schemes import cycling_minibatches, distinct

if TYPE_CHECKING:
    from jaxtyping import Int

CLASSES = ("train", "test")


@dataclass(frozen=True)
class Episodes:
    """Evaluation tasks, as places of images in the pool.

    Attributes:
        image: minibatches of the inner loop, [T, steps, batch].
        label: their labels, in the same shape.
        support: all N · K training images of each task, class by class, [T, N · K].
        query: the image of each class that is held out, in the order of the labels, [T, N].
    """

    image: Int[np.ndarray, "tasks steps batch"]
    label: Int[np.ndarray, "tasks steps batch"]
    support: Int[np.ndarray, "tasks N·K"]
    query: Int[np.ndarray, "tasks N"]

    def tasks(self, start: int, stop: int) -> Episodes:
        """Return the tasks from `start` up to, not including, `stop`."""
        kept = slice(start, stop)
        return Episodes(self.image[kept], self.label[kept], self.support[kept], self.query[kept])


def concatenate(episodes: Sequence[Episodes]) -> Episodes:
    """Put the tasks of several samples behind one another."""
    return Episodes(
        *(np.concatenate([getattr(one, field.name) for one in episodes]) for field in fields(Episodes))
    )


def sample_episodes(
    pool: ClassPool,
    seed: int,
    tasks: int,
    *,
    classes: str = "test",
    ways: int = 5,
    shots: int = 1,
    steps: int = 50,
    batch: int = 5,
    rng: np.random.Generator | None = None,
) -> Episodes:
    """Sample evaluation tasks of K + 1 images per class, one of them held out.

    Args:
        pool: the classes and their images.
        seed: the run's seed; it decides the split and the tasks.
        tasks: number of tasks T.
        classes: "train" or "test": from which side of the split.
        ways: classes per task, N.
        shots: training images of each class, K.
        steps: inner steps.
        batch: images per inner step, cycling through the N · K training images.
        rng: what to sample with; by default seed, side and shots decide the tasks.

    Raises:
        InputError: if the pool has too few classes or images, a number is too small, or `classes` is neither.

    Source: Nichol et al. 2018, section 6.1; the authors' code draws 10,000 tasks.
    """
    require(classes in CLASSES, f"classes is {classes!r}; choose {' or '.join(CLASSES)}")
    require_available(pool, ways, shots + 1)
    given = {"shots": (shots, 1), "tasks": (tasks, 1), "steps": (steps, 0), "batch": (batch, 1)}
    for name, (count, fewest) in given.items():
        require(count >= fewest, f"{name} is {count}; an evaluation takes at least {fewest}")
    rng = rng or generator(seed, f"eval{classes}", shots)
    chosen = pool.split(seed).train if classes == "train" else pool.split(seed).test
    places = sample_tasks(rng, chosen, ways, shots + 1, tasks, pool)
    support = places[:, :, 1:].reshape(tasks, -1)
    order = cycling_minibatches(rng, ways * shots, batch, tasks, steps)
    image = np.take_along_axis(support, order.reshape(tasks, -1), 1).reshape(order.shape)
    return Episodes(image, order // shots, support, places[:, :, 0])


def sample_tasks(
    rng: np.random.Generator, classes: np.ndarray, ways: int, shots: int, count: int, pool: ClassPool
) -> Int[np.ndarray, "count ways shots"]:
    """Sample N of the given classes for each task, and K different images of each class.

    Args:
        rng: what to sample with.
        classes: numbers of the classes to choose from.
        ways: classes per task, N.
        shots: images of each class, K.
        count: number of tasks.
        pool: whose classes and images they are.

    Returns:
        Places of the images in the pool.

    Raises:
        InputError: if there are fewer than N classes.
    """
    require(
        ways <= len(classes),
        f"a task of {ways} classes was asked for, but this side of the split of {pool.name} has "
        f"{len(classes)}; take fewer ways",
    )
    per_class = pool.images.shape[1]
    chosen = classes[distinct(rng, len(classes), ways, (count,))]
    images = distinct(rng, per_class, shots, (count, ways))
    return chosen[:, :, None] * per_class + images


def require_available(pool: ClassPool, ways: int, images: int) -> None:
    """Raise `InputError` unless a pool has tasks of `ways` classes with `images` images of each."""
    require(ways >= 2, f"ways is {ways}; a task has at least 2 classes")
    per_class = pool.images.shape[1]
    require(
        1 <= images <= per_class,
        f"{images} images of each class were asked for, but {pool.name} has {per_class}; take fewer shots",
    )
