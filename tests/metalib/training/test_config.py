"""Configurations: the schedule of ε, and what is refused."""

import json

import numpy as np
import pytest

from metalib.errors import InputError
from metalib.training.config import TrainingConfig


def test_epsilon_falls_linearly_and_would_reach_its_final_value_one_step_after_the_last():
    config = TrainingConfig(epsilon=1.0, epsilon_final=0.2, iterations=4)
    np.testing.assert_allclose([config.epsilon_at(i) for i in range(4)], [1.0, 0.8, 0.6, 0.4])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"algorithm": "anil"}, "algorithm is 'anil'; choose one of reptile, fomaml, maml, joint"),
        ({"algorithm": None}, "algorithm is None; choose one of reptile, fomaml, maml, joint"),
        ({"k": 0}, "k is 0; it must be a whole number of at least 1"),
        ({"epsilon": 1.5}, r"epsilon is 1.5; the outer step size must lie in \[0, 1\]"),
        ({"epsilon": -0.1}, r"epsilon is -0.1; the outer step size must lie in \[0, 1\]"),
        ({"alpha": 0.0}, "alpha is 0.0; the inner step size must be a number greater than 0"),
        ({"alpha": "0.02"}, "alpha is 0.02; the inner step size must be a number greater than 0"),
        ({"epsilon": None}, "epsilon is None; the outer step size must lie in"),
        ({"beta1": "0.9"}, "beta1 is 0.9; a decay needs"),
        ({"algorithm": "combination", "k": 1, "weights": ("1",)}, "give finite numbers, such as 1,1,0"),
        ({"seed": -1}, "seed is -1; seeds are whole numbers from 0 to"),
        ({"inner": "rmsprop"}, "inner is 'rmsprop'; choose one of sgd, adam"),
        ({"algorithm": "maml", "inner": "adam"}, "differentiates through plain SGD"),
        ({"weights": (1.0,)}, "'reptile' takes no weights; choose 'combination'"),
        ({"algorithm": "combination", "weights": (1.0,)}, "weights has 1 entries for k = 5"),
    ],
)
def test_a_configuration_out_of_range_names_the_value_the_range_and_the_remedy(change, message):
    with pytest.raises(InputError, match=message):
        TrainingConfig(**change)


def test_numbers_of_numpy_count_as_python_s_own():
    """A sweep over an array gives them, and JSON cannot hold them."""
    (k,), (alpha,), (seed,) = np.arange(3, 4), np.array([0.25], np.float32), np.array([7])
    config = TrainingConfig(k=k, alpha=alpha, seed=seed)
    assert config == TrainingConfig(k=3, alpha=0.25, seed=7)
    assert json.dumps(config.as_dict()) == json.dumps(TrainingConfig(k=3, alpha=0.25, seed=7).as_dict())


@pytest.mark.parametrize("weights", [np.array([1.0, 0.5]), tuple(np.array([1.0, 0.5], np.float32)), [1, 0.5]])
def test_weights_of_numpy_or_in_a_list_count_as_python_s_own(weights):
    config = TrainingConfig("combination", weights=weights, k=2)
    assert config == TrainingConfig("combination", weights=(1.0, 0.5), k=2)
    assert json.loads(json.dumps(config.as_dict()))["weights"] == [1.0, 0.5]
    assert hash(config) == hash(TrainingConfig("combination", weights=(1.0, 0.5), k=2))
