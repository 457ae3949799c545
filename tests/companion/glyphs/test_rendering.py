"""The embedded glyphs are what their renderer makes."""

import numpy as np

from companion.glyphs import rendering as module
from metalib.data.glyphs import _embedded, glyphs, letters


def test_rendering_again_gives_the_embedded_file():
    again = module.render()
    assert again.keys() == _embedded().keys()
    for name, array in again.items():
        assert np.array_equal(array, _embedded()[name])


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


def test_renditions_of_a_letter_differ_and_depend_on_the_letter_alone():
    pool = glyphs()
    distinct = [len(np.unique(images.reshape(20, -1), axis=0)) for images in pool.images]
    assert min(distinct) >= 18
    letter = letters()[100]
    again = module._renditions(letter, module._candidates(module._faces())[letter])
    assert (again == pool.images[100, ..., 0]).all()
