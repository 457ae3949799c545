"""Section 6.1 on the real Omniglot: the data as the authors prepared them."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from metalib.data.omniglot import PARTS, _drawings, omniglot


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Omniglot from METALIB_OMNIGLOT; without it, no test."""
    found = Path(os.environ.get("METALIB_OMNIGLOT", ""))
    if not os.environ.get("METALIB_OMNIGLOT"):
        pytest.skip("Omniglot is not at hand: set METALIB_OMNIGLOT to a folder that holds its archives")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("METALIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield found


def test_omniglot_is_verified_converted_and_then_loads_in_under_a_second(source):
    omniglot(source)
    start = time.process_time()
    pool = omniglot(source)
    assert time.process_time() - start < 1.0
    assert pool.images.shape == (1623, 20, 28, 28, 1)
    assert set(np.unique(pool.images)) == {0, 1}
    assert pool.images.mean() > 0.9, "paper is 1, ink is 0"


def test_characters_are_pooled_and_split_into_1200_and_423(source):
    split = omniglot(source).split(seed=0)
    assert len(split.train) == 4 * 1200
    assert len(split.test) == 423
    assert set(split.train % 1623) | set(split.test) == set(range(1623))


def test_the_split_is_another_for_every_seed_and_the_pool_that_of_the_stored_results(source):
    pool = omniglot(source)
    assert set(pool.split(0).test) != set(pool.split(1).test)
    assert pool.digest == "4d18c6a843ec284e"


def test_lake_split_has_964_background_and_659_evaluation_characters(source):
    split = omniglot(source, split="lake", rotate_test=True).split(seed=0)
    assert len(split.train) == 4 * 964
    assert len(split.test) == 4 * 659


def test_vinyals_split_cuts_the_evaluation_alphabets_within_gurmukhi(source):
    """The lists in common use put 41 of the 45 characters of Gurmukhi on the side of training."""
    split = omniglot(source, split="vinyals", rotate_train=False).split(seed=0)
    assert list(split.train) == list(range(1200))
    assert list(split.test) == list(range(1200, 1623))
    characters = []
    for part in PARTS:
        drawings = _drawings(source, part)
        characters += sorted({path[:-1] for path, _ in drawings})
    assert characters[1199] == ("images_evaluation", "Gurmukhi", "character41")
    assert characters[1200] == ("images_evaluation", "Gurmukhi", "character42")


def test_drawings_of_the_playground_become_as_large_as_characters_of_omniglot_are(source):
    """The page says that 18 pixels is the median of the longer side, and scales what readers draw to it."""
    ink = omniglot(source).images[..., 0].reshape(-1, 28, 28) == 0
    lines = [ink.any(axis) for axis in (1, 2)]
    sides = [line.shape[1] - line.argmax(1) - line[:, ::-1].argmax(1) for line in lines]
    assert np.median(np.maximum(*sides)) == 18
