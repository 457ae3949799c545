"""The embedded pool of letters."""

import time

import numpy as np
import pytest

from metalib.data.glyphs import _embedded, glyphs, letters
from metalib.tasks.fewshot import FewShot


@pytest.fixture(scope="module")
def pool():
    return glyphs()


def test_the_glyphs_load_in_less_than_a_second_and_need_no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("METALIB_CACHE", str(tmp_path / "cache"))
    _embedded.cache_clear()  # others may have loaded them
    start = time.process_time()
    glyphs()
    assert time.process_time() - start < 1.0
    assert not (tmp_path / "cache").exists()


def test_pool_looks_like_omniglot(pool):
    assert pool.images.shape[1:] == (20, 28, 28, 1)
    assert set(np.unique(pool.images)) == {0, 1}
    ink = (pool.images == 0).mean((2, 3, 4))
    assert ink.min() > 0.01, "no rendition is blank"
    assert ink.max() < 0.7
    FewShot(pool, ways=20, shots=10, batch=20).sample(seed=0, block=0, tasks=1, steps=10)


def test_classes_are_some_700_different_letters_of_six_scripts(pool):
    names = letters()
    assert len(names) == len(set(names)) == len(pool.images)
    assert 600 <= len(names) <= 750
    for letter in "aбγճა":
        assert letter in names


def test_renditions_of_one_letter_resemble_each_other_more_than_other_letters(pool):
    """One-nearest-neighbor on pixels, 5-way 5-shot: far above chance, and far from solved."""
    rng = np.random.default_rng(0)
    right = []
    for _ in range(200):
        classes = rng.choice(len(pool.images), 5, replace=False)
        images = pool.images[classes].reshape(5, 20, -1).astype(float)
        distances = np.square(images[:, None, None, 0] - images[None, :, 1:6]).sum(-1).min(2)
        right.append((distances.argmin(1) == np.arange(5)).mean())
    assert 0.6 < np.mean(right) < 0.97
