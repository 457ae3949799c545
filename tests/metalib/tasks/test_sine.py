"""Sine waves: the distribution, the minibatches, and the floor of joint training."""

import numpy as np
import pytest

from metalib.errors import InputError
from metalib.rng import generator
from metalib.tasks.family import BLOCK
from metalib.tasks.sine import (
    AMPLITUDE,
    INTERVAL,
    PHASE,
    Sine,
    grid,
    sample_support,
    sample_tasks,
    zero_function_error,
)
from tests.tolerances import SIGMAS

MANY = 200_000


def within_sampling_error(values: np.ndarray, expected: float) -> bool:
    return abs(values.mean() - expected) < SIGMAS * values.std(ddof=1) / len(values) ** 0.5


def test_amplitude_and_phase_fill_their_intervals_uniformly():
    waves = sample_tasks(generator(0, "test"), MANY)
    for values, (low, high) in ((waves.amplitude, AMPLITUDE), (waves.phase, PHASE)):
        assert low <= values.min()
        assert values.max() <= high
        assert within_sampling_error(values, (low + high) / 2)
        assert within_sampling_error((values - (low + high) / 2) ** 2, (high - low) ** 2 / 12)


def test_a_task_is_the_sine_of_its_amplitude_and_phase():
    waves = sample_tasks(generator(0, "test"), 3)
    x = np.linspace(-1, 1, 12).reshape(3, 4)
    expected = [
        [a * np.sin(v + b) for v in row] for a, b, row in zip(waves.amplitude, waves.phase, x, strict=True)
    ]
    np.testing.assert_allclose(waves(x), expected, rtol=1e-12)


def test_the_average_task_is_zero_everywhere():
    waves = sample_tasks(generator(1, "test"), MANY)
    for x in (-5.0, -1.3, 0.0, 2.0, 5.0):
        assert within_sampling_error(waves(np.full((MANY, 1), x))[:, 0], 0.0)


def test_the_zero_function_has_mean_squared_error_4_2517():
    assert zero_function_error() == pytest.approx(4.2517, abs=5e-5)
    waves = sample_tasks(generator(2, "test"), MANY // 10)
    errors = np.square(waves(np.broadcast_to(grid(), (MANY // 10, 50)))).mean(1)
    assert within_sampling_error(errors, zero_function_error())


def test_the_grid_is_50_equally_spaced_points_from_minus_5_to_5():
    assert len(grid()) == 50
    assert (grid()[0], grid()[-1]) == INTERVAL
    np.testing.assert_allclose(np.diff(grid()), 10 / 49)


def test_five_minibatches_of_ten_see_every_grid_point_once():
    x = Sine(dtype="float64").sample(0, 0, tasks=2, steps=5)["x"]
    assert x.shape == (BLOCK, 2, 5, 10, 1)
    for task in x.reshape(-1, 50)[:20]:
        np.testing.assert_allclose(np.sort(task), grid())


def test_later_passes_are_permuted_again():
    x = Sine(dtype="float64").sample(0, 0, tasks=1, steps=10)["x"].reshape(BLOCK, 2, 50)
    np.testing.assert_allclose(np.sort(x, axis=2), np.broadcast_to(grid(), x.shape))
    assert not np.array_equal(x[:, 0], x[:, 1])


def test_the_targets_lie_on_one_sine_wave_per_task():
    sampled = Sine(dtype="float64").sample(3, 0, tasks=1, steps=5)
    x, y = sampled["x"][0, 0].ravel(), sampled["y"][0, 0].ravel()
    # a sin(x + b) = p sin x + q cos x: an exact linear fit with amplitude in range.
    basis = np.stack([np.sin(x), np.cos(x)], 1)
    (p, q), residual, *_ = np.linalg.lstsq(basis, y, rcond=None)
    assert residual[0] < 1e-20
    assert AMPLITUDE[0] <= np.hypot(p, q) <= AMPLITUDE[1]


def test_a_run_sees_the_same_tasks_again_and_others_under_another_seed_or_block():
    first, again = (Sine().sample(5, 2, 1, 5) for _ in range(2))
    assert np.array_equal(first["y"], again["y"])
    assert not np.array_equal(first["y"], Sine().sample(6, 2, 1, 5)["y"])
    assert not np.array_equal(first["y"], Sine().sample(5, 3, 1, 5)["y"])


def amplitudes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The amplitude of each wave, from some of its points: that of the least-squares p sin x + q cos x."""
    bases = np.stack([np.sin(x), np.cos(x)], -1)
    fits = [np.linalg.lstsq(basis, wave, rcond=None)[0] for basis, wave in zip(bases, y, strict=True)]
    return np.hypot(*np.transpose(fits))


def test_no_task_of_the_first_block_of_training_is_one_of_the_evaluation():
    train, test = Sine(dtype="float64").sample(0, 0, 1, 5), sample_support(0, BLOCK)
    seen = amplitudes(*(train[name].reshape(BLOCK, -1) for name in "xy"))
    held_out = amplitudes(test.x.astype(float), test.tasks(test.x.astype(float)))
    np.testing.assert_allclose(held_out, test.tasks.amplitude, rtol=1e-9)
    assert np.abs(seen[:, None] - held_out).min() > 1e-6


def test_a_run_starts_from_the_same_weights_in_both_precisions():
    single, double = (Sine(dtype=dtype).initialize(7) for dtype in ("float32", "float64"))
    for name in single:
        assert np.array_equal(single[name].numpy(), double[name].numpy().astype(np.float32))


def test_support_points_stay_in_the_interval_that_was_asked_for():
    support = sample_support(0, 100, points=7, interval=(-5.0, 0.0))
    assert support.x.shape == (100, 7)
    assert support.x.max() <= 0.0
    np.testing.assert_allclose(support.y, support.tasks(support.x))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Sine(activation="gelu"), "activation is 'gelu'; choose one of tanh, relu"),
        (lambda: Sine(batch=51), "batch is 51; a minibatch holds 1 to 50"),
        (lambda: Sine(batch=0), "batch is 0; a minibatch holds 1 to 50"),
        (lambda: Sine(dtype="float16"), "dtype is 'float16'; choose float32 or float64"),
        (lambda: sample_support(0, 10, points=51), "points is 51; the learner may see 1 to 50"),
        (lambda: sample_support(0, 10, points=0), "points is 0; the learner may see 1 to 50"),
        (lambda: sample_support(0, 0), "tasks is 0; evaluate on at least one task"),
        (lambda: generator(-1, "train"), "seed is -1; seeds are whole numbers from 0 up"),
    ],
)
def test_bad_input_names_the_value_and_the_range(call, message):
    with pytest.raises(InputError, match=message):
        call()
