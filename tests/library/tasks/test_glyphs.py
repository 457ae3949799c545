"""The embedded pool of letters."""

import time

import numpy as np
import pytest

from metalib.tasks import glyphs as module
from metalib.tasks.fewshot import FewShot
from metalib.tasks.glyphs import glyphs, letters


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("METALIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        start = time.perf_counter()
        glyphs()
        rendering = time.perf_counter() - start
        start = time.perf_counter()
        pool = glyphs()
        loading = time.perf_counter() - start
        assert rendering < 30.0
        assert loading < 1.0
        yield pool


def test_pool_looks_like_omniglot(pool):
    assert pool.images.shape[1:] == (20, 28, 28, 1)
    assert set(np.unique(pool.images)) == {0, 1}
    ink = (pool.images == 0).mean((2, 3, 4))
    assert ink.min() > 0.01, "no rendition is blank"
    assert ink.max() < 0.7
    FewShot(pool, ways=20, shots=10, batch=20).draw(seed=0, block=0, tasks=1, steps=10)


def test_classes_are_some_700_different_letters_of_six_scripts(pool):
    names = letters()
    assert len(names) == len(set(names)) == len(pool.images)
    assert 600 <= len(names) <= 750
    for letter in "aбγճა":
        assert letter in names


def test_no_two_letters_look_alike_as_long_as_they_are_not_distorted():
    faces = module._faces()
    candidates = module._candidates(faces)
    chosen = module._without_look_alikes(candidates, faces[0][1])
    straight = np.eye(2) / max(module.SCALE)
    inks = [module._draw(letter, faces[0][1], straight, np.zeros(2)).ravel() for letter in chosen]
    inks = np.stack([ink / np.linalg.norm(ink) for ink in inks])
    cosines = inks @ inks.T - np.eye(len(inks))
    assert cosines.max() <= module.LOOK_ALIKE
    assert len(chosen) < len(candidates), "Latin, Greek and Cyrillic share shapes"


def test_renditions_of_a_letter_differ_and_depend_on_the_letter_alone(pool):
    distinct = [len(np.unique(images.reshape(20, -1), axis=0)) for images in pool.images]
    assert min(distinct) >= 18
    letter = letters()[100]
    again = module._renditions(letter, module._candidates(module._faces())[letter])
    assert (again == pool.images[100, ..., 0]).all()


def test_renditions_of_one_letter_resemble_each_other_more_than_other_letters(pool):
    """One-nearest-neighbour on pixels, 5-way 5-shot: far above chance, and far from solved."""
    rng = np.random.default_rng(0)
    right = []
    for _ in range(200):
        classes = rng.choice(len(pool.images), 5, replace=False)
        images = pool.images[classes].reshape(5, 20, -1).astype(float)
        distances = np.square(images[:, None, None, 0] - images[None, :, 1:6]).sum(-1).min(2)
        right.append((distances.argmin(1) == np.arange(5)).mean())
    assert 0.6 < np.mean(right) < 0.97
