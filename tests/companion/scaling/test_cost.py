"""The cost model: its limits, and that it is found again from times that it made."""

import numpy as np
import pandas as pd
import pytest

from companion.scaling.cost import Link, Training, fit
from metalib.errors import InputError

LINK = Link(latency=1e-4, bandwidth=1e9)
TRAINING = Training(weights=1e9, gradient_seconds=0.5)


def test_a_worker_alone_sends_nothing_and_many_send_almost_twice_their_displacement():
    assert LINK.all_reduce(1, 4e9) == 0
    assert LINK.all_reduce(2, 4e9) == pytest.approx(4.0 + 2e-4)
    assert LINK.all_reduce(10_000, 4e9) == pytest.approx(8.0 + 28e-4, rel=1e-3)


def test_k_steps_share_one_average_and_k_of_1_is_synchronous():
    talk = LINK.all_reduce(64, 4e9)
    assert TRAINING.step_seconds(LINK, 64, 1) == pytest.approx(0.5 + talk)
    assert TRAINING.step_seconds(LINK, 64, 100) == pytest.approx(0.5 + talk / 100)
    with pytest.raises(InputError, match="k is 0"):
        TRAINING.step_seconds(LINK, 64, 0)


def test_overlapped_the_longer_of_computing_and_sending_counts():
    talk = LINK.all_reduce(64, 4e9)
    assert TRAINING.step_seconds(LINK, 64, 1, overlapped=True) == pytest.approx(talk)
    assert TRAINING.step_seconds(LINK, 64, 100, overlapped=True) == pytest.approx(0.5)


@pytest.mark.parametrize("workers", [1, 2, 10_000])
def test_the_fewest_local_steps_for_an_efficiency_reach_it_and_one_less_does_not(workers):
    k = TRAINING.steps_for(LINK, workers, 0.9)
    assert TRAINING.efficiency(LINK, workers, k) >= 0.9
    assert k == 1 or TRAINING.efficiency(LINK, workers, k - 1) < 0.9


def test_a_link_is_found_again_from_its_times():
    rows = [
        {"ranks": ranks, "bytes": size, "seconds": LINK.all_reduce(ranks, size)}
        for ranks in (2, 4, 8)
        for size in (1e3, 1e6, 1e8)
    ]
    found = fit(pd.DataFrame(rows))
    np.testing.assert_allclose((found.latency, found.bandwidth), (LINK.latency, LINK.bandwidth), rtol=1e-6)
    with pytest.raises(InputError, match="do not grow"):
        fit(pd.DataFrame(rows).assign(seconds=[1.0 / row["bytes"] for row in rows]))
