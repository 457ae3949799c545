"""Adam in the inner loop of training, against torch.optim.Adam: one for all tasks, or one per task."""

import pytest
import torch

from metalib.config import TrainingConfig
from metalib.inner import Adam, Only
from metalib.params import flatten, subtract, unflatten
from metalib.tasks.sine import Sine
from metalib.training import train
from tests.oracles import relative_error
from tests.tolerances import ROUNDOFF

DOUBLE = Sine(dtype="float64")


def with_torch_adam(config: TrainingConfig, *, carried: bool) -> tuple[dict, torch.Tensor]:
    """Eq. 5 as the authors run it: the weights are put back after every task, the optimizer is not."""
    phi = DOUBLE.initialize(config.seed)
    leaf = torch.nn.Parameter(flatten(phi))
    settings = {"lr": config.alpha, "betas": (config.beta1, 0.999), "eps": 1e-8}
    adam = torch.optim.Adam([leaf], **settings)
    drawn = DOUBLE.draw(config.seed, 0, config.tasks, config.k)
    for i in range(config.iterations):
        before, ends = leaf.detach().clone(), []
        for task in range(config.tasks):
            if not carried:
                adam = torch.optim.Adam([leaf], **settings)
            for j in range(config.k):
                loss = DOUBLE.loss({n: torch.from_numpy(a[i, task, j])[None] for n, a in drawn.items()})
                adam.zero_grad()
                loss(unflatten(leaf, phi)).sum().backward()
                adam.step()
            ends.append(leaf.detach().clone())
            leaf.data.copy_(before)
        leaf.data.lerp_(torch.stack(ends).mean(0), config.epsilon_at(i))
    return unflatten(leaf.detach(), phi), adam.state[leaf]["exp_avg_sq"]


@pytest.mark.parametrize("beta1", [0.0, 0.9])
@pytest.mark.parametrize(("inner", "carried"), [("adam", True), ("adam-fresh", False)])
def test_inner_adam_is_torch_adam_with_moments_carried_on_or_not(inner, carried, beta1):
    config = TrainingConfig(inner=inner, beta1=beta1, tasks=3, iterations=6, epsilon=0.5, alpha=0.01)
    trained = train(DOUBLE, [config])
    expected, second = with_torch_adam(config, carried=carried)
    other, _ = with_torch_adam(config, carried=not carried)
    start = DOUBLE.initialize(0)
    moved = subtract(trained.phi, start)
    assert relative_error(moved, subtract(expected, start)) < ROUNDOFF
    assert relative_error(moved, subtract(other, start)) > 0.01, "it matters which"
    if carried:
        assert trained.inner.steps == 6 * 3 * config.k
        torch.testing.assert_close(flatten(trained.inner.second), second, rtol=ROUNDOFF, atol=0)
    else:
        assert trained.inner is None


def test_an_optimizer_of_some_weights_moves_them_as_it_would_all_and_leaves_the_others():
    phi = DOUBLE.initialize(0)
    g = {name: torch.ones_like(value) for name, value in phi.items()}
    adam = Adam(0.1)
    everything, _ = adam.step(phi, g, adam.initial_state(phi))
    last = list(phi)[-1]
    head = Only(adam, (last,))
    moved, state = head.step(phi, g, head.initial_state(phi))
    assert torch.equal(moved[last], everything[last])
    assert not torch.equal(moved[last], phi[last])
    assert all(torch.equal(moved[name], phi[name]) for name in phi if name != last)
    assert (state.steps, head.alpha) == (1, 0.1)
