"""Tasks and minibatches sampled from a pool of classes."""

import numpy as np
import pytest
import torch

from metalib.data.classes import ClassPool, Split
from metalib.errors import InputError
from metalib.rng import generator
from metalib.tasks.episodes import sample_episodes
from metalib.tasks.family import BLOCK
from metalib.tasks.fewshot import FewShot
from metalib.tasks.schemes import distinct
from tests.tolerances import SIGMAS

PER_CLASS = 20


def numbered_pool(classes: int = 12, **options) -> ClassPool:
    """Images that say which they are: the first pixel is the class, the second the image."""
    images = np.zeros((classes, PER_CLASS, 28, 28, 1), np.uint8)
    images[:, :, 0, 0, 0] = np.arange(classes)[:, None]
    images[:, :, 0, 1, 0] = np.arange(PER_CLASS)
    return ClassPool("numbers", images, maximum=255, train_classes=classes - 4, **options)


def classes_of(places: np.ndarray) -> np.ndarray:
    return places // PER_CLASS


def test_a_task_has_n_classes_with_k_different_images_each():
    family = FewShot(numbered_pool(), ways=5, shots=4, batch=10)
    sampled = family.sample(seed=0, block=0, tasks=3, steps=2)
    image, label = (sampled[name].reshape(BLOCK * 3, -1) for name in ("image", "label"))
    for task_images, task_labels in zip(image, label, strict=True):
        assert len(set(task_images)) == 20
        by_label = [set(classes_of(task_images[task_labels == n])) for n in range(5)]
        assert all(len(found) == 1 for found in by_label)
        assert len(set.union(*by_label)) == 5


def test_cycling_shows_every_image_once_per_pass_and_reshuffles():
    family = FewShot(numbered_pool(), ways=5, shots=3, batch=10)
    image = family.sample(seed=0, block=0, tasks=1, steps=6)["image"].reshape(BLOCK, 4, 15)
    passes = np.sort(image, axis=2)
    assert (passes == passes[:, :1]).all(), "each pass of 15 goes through the same 15 images"
    assert (np.diff(passes, axis=2) > 0).all(), "and shows each of them once"
    assert (image[:, 0] != image[:, 1]).any(1).all(), "in another order"


def test_a_cycling_minibatch_that_straddles_two_passes_may_hold_an_image_twice():
    family = FewShot(numbered_pool(), ways=5, shots=3, batch=10)
    image = np.sort(family.sample(seed=0, block=0, tasks=1, steps=6)["image"], axis=-1)
    repeats = (np.diff(image, axis=-1) == 0).any(-1)[:, 0]
    assert repeats[:, [1, 4]].any(), "the second and the fifth batch of 10 straddle passes of 15"
    assert not repeats[:, [0, 2, 3, 5]].any()


def test_minibatches_with_replacement_overlap_but_never_repeat_an_image_inside():
    family = FewShot(numbered_pool(), ways=5, shots=3, batch=10, scheme="replacement")
    image = family.sample(seed=0, block=0, tasks=1, steps=4)["image"]
    ordered = np.sort(image, axis=-1)
    assert (np.diff(ordered, axis=-1) > 0).all()
    shared = [
        len(set(first) & set(second)) for first, second in zip(image[:, 0, 0], image[:, 0, 1], strict=True)
    ]
    # Two independent draws of 10 of 15 share 10 · 10/15 on average; hypergeometric variance below.
    variance = 10 * (10 / 15) * (5 / 15) * (5 / 14)
    assert abs(np.mean(shared) - 100 / 15) < SIGMAS * (variance / BLOCK) ** 0.5


def test_every_image_is_equally_likely_in_a_minibatch_with_replacement():
    rng = generator(0, "test")
    counts = np.bincount(distinct(rng, 15, 10, (6_000,)).ravel(), minlength=15)
    spread = (6_000 * (10 / 15) * (5 / 15)) ** 0.5
    assert (abs(counts - 4_000) < SIGMAS * spread).all()


def test_distinct_numbers_are_equally_likely_at_every_place():
    rng = generator(0, "test")
    sampled = distinct(rng, 7, 3, (20_000,))
    assert (np.diff(np.sort(sampled), axis=1) > 0).all()
    for place in range(3):
        counts = np.bincount(sampled[:, place], minlength=7)
        spread = (20_000 * (1 / 7) * (6 / 7)) ** 0.5
        assert (abs(counts - 20_000 / 7) < SIGMAS * spread).all()


@pytest.mark.parametrize("scheme", ["cycling", "replacement", "disjoint"])
def test_separate_tail_holds_back_its_images_from_all_other_minibatches(scheme):
    family = FewShot(numbered_pool(), ways=5, shots=9, batch=10, scheme=scheme, tail_shots=2)
    sampled = family.sample(seed=0, block=0, tasks=2, steps=4)
    image, label = (sampled[name].reshape(BLOCK * 2, 4, 10) for name in ("image", "label"))
    for batches, labels in zip(image, label, strict=True):
        tail = set(batches[-1])
        assert len(tail) == 10
        assert not tail & set(batches[:-1].ravel())
        assert (np.bincount(labels[-1]) == 2).all()


def test_a_tail_may_be_smaller_or_larger_than_the_other_minibatches():
    for batch in (4, 15):
        family = FewShot(numbered_pool(), ways=5, shots=6, batch=batch, tail_shots=2)
        sampled = family.sample(seed=0, block=0, tasks=1, steps=3)
        sizes = []
        for step in range(3):
            loss = family.loss({n: torch.from_numpy(a[:2, 0, step]) for n, a in sampled.items()})
            sizes.append(tuple(loss.inputs.shape[:2]))
            assert (loss.targets >= 0).all()
            cut = {n: torch.from_numpy(a[:2, 0, step]).to("meta") for n, a in sampled.items()}
            with pytest.MonkeyPatch.context() as patch:  # no number of a device is read when the host knows
                patch.setattr(ClassPool, "gather", lambda pool, place: place)
                known = family.loss({"last": torch.tensor(step == 2), **cut})
            assert known.targets.shape == loss.targets.shape
        assert sizes == [(2, batch), (2, batch), (2, 10)]


def test_disjoint_minibatches_never_share_an_image():
    family = FewShot(numbered_pool(), ways=5, shots=12, batch=15, scheme="disjoint")
    image = family.sample(seed=0, block=0, tasks=1, steps=4)["image"].reshape(BLOCK, -1)
    assert (np.diff(np.sort(image, axis=1), axis=1) > 0).all()


def test_more_disjoint_minibatches_than_images_is_an_error():
    family = FewShot(numbered_pool(), ways=5, shots=12, batch=15, scheme="disjoint")
    with pytest.raises(InputError, match="need 75 images, but a task has 60"):
        family.sample(seed=0, block=0, tasks=1, steps=5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ways": 9}, "9 classes was asked for, but this side of the split of numbers has 8"),
        ({"shots": 21}, "21 images of each class were asked for, but numbers has 20"),
        ({"shots": 3, "batch": 16, "scheme": "replacement"}, "batch is 16, but a task has only 15 images"),
        ({"shots": 3, "tail_shots": 3}, "of 3 shots, 0 to 2 can be held back"),
        ({"scheme": "bootstrap"}, "choose one of cycling, replacement, disjoint"),
        ({"reduction": "max"}, "choose one of sum, mean"),
        ({"ways": 1}, "at least 2 classes"),
        ({"batch": 0}, "at least 1 image"),
    ],
)
def test_more_than_there_is_is_a_clear_error(settings, message):
    pool = numbered_pool(rotate_train=False)
    with pytest.raises(InputError, match=message):
        FewShot(pool, **settings).sample(seed=0, block=0, tasks=1, steps=2)


def test_training_and_test_classes_never_meet_and_the_seed_decides():
    pool = numbered_pool()
    for seed in range(5):
        split = pool.split(seed)
        assert not set(split.train % 12) & set(split.test % 12)
        assert len(split.train) == 4 * 8, "training classes come in four orientations"
        assert len(split.test) == 4, "test classes do not"
    assert set(pool.split(0).test) != set(pool.split(1).test)
    assert set(pool.split(0).test) == set(pool.split(0).test)


def test_turned_classes_are_quarter_turns_and_inversion_swaps_paper_and_ink():
    pool = numbered_pool(rotate_test=True)
    upright = pool.gather(torch.tensor([3 * PER_CLASS + 2]))
    turned = pool.gather(torch.tensor([(12 + 3) * PER_CLASS + 2]))
    assert torch.equal(turned, torch.rot90(upright, 1, (1, 2)))
    inverted = numbered_pool(invert=True).gather(torch.tensor([3 * PER_CLASS + 2]))
    assert torch.equal(inverted, 1.0 - upright)
    assert float(upright[0, 0, 0, 0]) == pytest.approx(3 / 255)


def test_a_fixed_split_is_the_same_for_every_seed():
    fixed = Split(np.arange(8), np.arange(8, 12))
    pool = ClassPool("fixed", numbered_pool().images, fixed=fixed, rotate_train=False)
    assert (pool.split(0).test == pool.split(9).test).all()
    assert list(pool.split(3).train) == list(range(8))


def test_draws_depend_on_seed_and_block_alone():
    family = FewShot(numbered_pool(), ways=5, shots=4, batch=10)
    first, again, block, seed = (
        family.sample(seed=s, block=b, tasks=2, steps=3)["image"] for s, b in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert (first == again).all()
    assert (first != block).any()
    assert (first != seed).any()


def test_loss_sums_or_averages_over_the_minibatch_as_configured():
    pool = numbered_pool()
    summed, averaged = (FewShot(pool, batch=8, reduction=reduction) for reduction in ("sum", "mean"))
    sampled = summed.sample(seed=0, block=0, tasks=1, steps=1)
    minibatch = {name: torch.from_numpy(array[0, :, 0]) for name, array in sampled.items()}
    phi = summed.initialize(0)
    torch.testing.assert_close(summed.loss(minibatch)(phi), 8 * averaged.loss(minibatch)(phi))


def test_minibatches_hold_the_images_and_labels_they_name():
    family = FewShot(numbered_pool(rotate_train=False), ways=5, shots=4, batch=10)
    sampled = family.sample(seed=0, block=0, tasks=1, steps=1)
    loss = family.loss({name: torch.from_numpy(array[:3, 0, 0]) for name, array in sampled.items()})
    pixels = (loss.inputs[:, :, 0, :2, 0] * 255).round().long()
    places = pixels[..., 0] * PER_CLASS + pixels[..., 1]
    assert torch.equal(places, torch.from_numpy(sampled["image"][:3, 0, 0]))
    for labels, classes in zip(loss.targets, pixels[..., 0], strict=True):
        pairs = {(int(label), int(c)) for label, c in zip(labels, classes, strict=True)}
        assert len(pairs) == len({label for label, _ in pairs}) == len({c for _, c in pairs})


def test_evaluation_holds_one_image_of_each_class_out():
    pool = numbered_pool()
    episodes = sample_episodes(pool, seed=0, tasks=50, ways=4, shots=3, steps=7, batch=5)
    test = set(pool.split(0).test)
    for t in range(50):
        held_out = set(episodes.query[t])
        assert not held_out & set(episodes.support[t])
        assert set(episodes.image[t].ravel()) == set(episodes.support[t])
        assert set(classes_of(episodes.query[t])) <= test
        classes = classes_of(episodes.query[t])
        assert (classes_of(episodes.image[t]) == classes[episodes.label[t]]).all()
        assert (classes_of(episodes.support[t]).reshape(4, 3) == classes[:, None]).all()


def test_evaluation_on_training_classes_stays_among_them():
    pool = numbered_pool()
    episodes = sample_episodes(pool, seed=0, tasks=50, classes="train", ways=4, shots=1)
    assert set(classes_of(episodes.query).ravel()) <= set(pool.split(0).train)


def test_evaluation_needs_one_image_more_than_the_shots():
    with pytest.raises(InputError, match="21 images of each class"):
        sample_episodes(numbered_pool(), seed=0, tasks=1, shots=PER_CLASS, ways=4)
    with pytest.raises(InputError, match="choose train or test"):
        sample_episodes(numbered_pool(), seed=0, tasks=1, classes="validation", ways=4)


def test_pools_of_different_images_have_different_digests():
    images = numbered_pool().images.copy()
    images[0, 0, 5, 5, 0] = 1
    assert ClassPool("numbers", images, train_classes=8).digest != numbered_pool().digest


def test_a_pool_of_another_shape_is_an_error():
    with pytest.raises(InputError, match="expected \\[classes, images, height, width, channels\\]"):
        ClassPool("flat", np.zeros((3, 20, 784), np.uint8), train_classes=2)
    with pytest.raises(InputError, match="1 to 11 can be for training"):
        ClassPool("all", numbered_pool().images, train_classes=12)


@pytest.mark.parametrize("size", [(32, 32), (28, 20)])
def test_images_that_no_network_takes_are_refused_with_what_is_taken(size):
    pool = ClassPool("mine", np.zeros((12, 20, *size, 1), np.uint8), train_classes=8)
    with pytest.raises(InputError, match=rf"images of mine are {size[0]}×{size[1]}; .* take 28×28 or 84×84"):
        FewShot(pool)


@pytest.mark.parametrize("name", ["shots", "steps", "batch", "tasks"])
def test_an_evaluation_of_nothing_is_refused(name):
    with pytest.raises(
        InputError, match=rf"{name} is -1; an evaluation takes at least [01]|0 images of each"
    ):
        sample_episodes(numbered_pool(), **{"seed": 0, "tasks": 1, "ways": 4, "shots": 5, name: -1})


def test_an_evaluation_minibatch_keeps_its_images_whatever_the_sizes_in_training():
    family = FewShot(numbered_pool(), ways=4, shots=6, batch=4, tail_shots=5)
    sampled = sample_episodes(family.pool, seed=0, tasks=2, ways=4, shots=5, steps=1, batch=20)
    minibatch = {
        "image": torch.from_numpy(sampled.image[:, 0]),
        "label": torch.from_numpy(sampled.label[:, 0]),
    }
    assert family.loss(minibatch).targets.shape == (2, 20)
    fewer = {name: value[:, :10] for name, value in minibatch.items()}
    assert family.loss(fewer).targets.shape == (2, 10)
