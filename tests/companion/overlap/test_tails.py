"""A tail that was seen in part: what it holds, and how long the gradient on it is."""

import numpy as np
import pytest
import torch

from companion.overlap import tails
from companion.overlap.tails import BATCH, SHARES, SHOTS, K, PartlySeen, Rescaled
from companion.running import runner
from companion.running.experiment import Budget
from metalib.derivatives import gradient
from metalib.errors import InputError
from metalib.params import cosine, norm_per_run, repeat
from metalib.tasks.fewshot import FewShot
from tests.companion.overlap.test_experiments import small_pool, smallest
from tests.tolerances import FLOAT32


def family(**changes) -> PartlySeen:
    return PartlySeen(small_pool(), 5, SHOTS, BATCH, "disjoint", **changes)


@pytest.mark.parametrize("seen", SHARES)
def test_the_share_of_the_tail_that_other_minibatches_hold_is_what_it_is_called(seen):
    drawn = family(seen=seen, rescaled=True).sample(0, 0, 2, K)
    plain = FewShot(small_pool(), 5, SHOTS, BATCH, "disjoint").sample(0, 0, 2, K)
    for name in ("image", "label"):
        assert (drawn[name][:, :, :-1] == plain[name][:, :, :-1]).all()
        assert (drawn[tails.OTHER + name][:, :, -1] == plain[name][:, :, -1]).all(), "an all new tail"
        assert (drawn[tails.OTHER + name][:, :, :-1] == -1).all()
    for task in drawn["image"].reshape(-1, K, BATCH)[:20]:
        assert len(set(task[-1])) == BATCH, "no image twice"
        assert len(set(task[-1]) & set(task[:-1].ravel())) == round(seen * BATCH)


def test_images_keep_their_labels():
    drawn = family(seen=1.0).sample(3, 0, 1, K)
    for images, labels in zip(
        drawn["image"].reshape(-1, K, BATCH)[:10], drawn["label"].reshape(-1, K, BATCH)[:10], strict=True
    ):
        known = dict(zip(images[:-1].ravel(), labels[:-1].ravel(), strict=True))
        assert [known[image] for image in images[-1]] == list(labels[-1])


def test_a_rescaled_gradient_has_the_direction_of_one_loss_and_the_length_of_the_other():
    tasks = family(seen=1.0, rescaled=True)
    drawn = {name: torch.from_numpy(array[0]) for name, array in tasks.sample(0, 0, 2, K).items()}
    first, last = (tasks.loss({name: array[:, j] for name, array in drawn.items()}) for j in (0, K - 1))
    assert not isinstance(first, Rescaled)
    assert isinstance(last, Rescaled)
    phi = repeat(tasks.initialize(0), 2)
    g, seen, new = (gradient(loss, phi) for loss in (last, last.direction, last.length))
    assert norm_per_run(g).numpy() == pytest.approx(norm_per_run(new).numpy(), rel=FLOAT32)
    assert not np.allclose(norm_per_run(seen), norm_per_run(new), rtol=0.01)
    for run in range(2):
        one, other = ({name: value[run : run + 1] for name, value in both.items()} for both in (g, seen))
        assert cosine(one, other).item() == pytest.approx(1.0, abs=FLOAT32)
    assert (last(phi) == last.direction(phi)).all()


def test_every_share_is_trained_at_its_own_length_and_all_but_none_at_the_other(tmp_path):
    tiny = smallest(tails.TAILS, tails, Budget(1, 2))
    accuracy = runner.run(tiny, "smoke", seeds=(0,), results=tmp_path).tables["accuracy"]
    assert set(zip(accuracy.seen, accuracy.length, strict=True)) == {
        *((seen, "own") for seen in SHARES),
        *((seen, "rescaled") for seen in SHARES if seen),
    }


def test_shares_out_of_range_and_other_schemes_are_refused():
    with pytest.raises(InputError, match=r"seen is 1.5; a share lies in \[0, 1\]"):
        family(seen=1.5)
    with pytest.raises(InputError, match="scheme is 'cycling'; only disjoint minibatches"):
        PartlySeen(small_pool(), 5, SHOTS, BATCH, "cycling")
