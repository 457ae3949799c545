"""Optimizers: Adam against torch.optim.Adam, one for all tasks or one each; and what all of them declare."""

import pytest
import torch

from metalib.errors import InputError
from metalib.optimizers import OPTIMIZERS, Adam, Masked, Nesterov, State
from metalib.params import repeat, scale, select, subtract
from metalib.tasks.sine import Sine
from metalib.training.config import TrainingConfig
from metalib.training.loop import train
from tests.oracles import flatten, relative_error, unflatten
from tests.tolerances import EXACT, ROUNDOFF

DOUBLE = Sine(dtype="float64")


def with_torch_adam(config: TrainingConfig, *, carried: bool) -> tuple[dict, torch.Tensor]:
    """Eq. 5 as the authors run it: the weights are put back after every task, the optimizer is not."""
    phi = DOUBLE.initialize(config.seed)
    leaf = torch.nn.Parameter(flatten(phi))
    settings = {"lr": config.alpha, "betas": (config.beta1, 0.999), "eps": 1e-8}
    adam = torch.optim.Adam([leaf], **settings)
    sampled = DOUBLE.sample(config.seed, 0, config.tasks, config.k)
    for i in range(config.iterations):
        before, ends = leaf.detach().clone(), []
        for task in range(config.tasks):
            if not carried:
                adam = torch.optim.Adam([leaf], **settings)
            for j in range(config.k):
                loss = DOUBLE.loss({n: torch.from_numpy(a[i, task, j])[None] for n, a in sampled.items()})
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
        torch.testing.assert_close(flatten(trained.inner.moments["second"]), second, rtol=ROUNDOFF, atol=0)
    else:
        assert trained.inner.steps == 0, "evaluation starts without moments, too"
        assert not flatten(trained.inner.moments["second"]).any()


def test_an_optimizer_of_some_weights_moves_them_as_it_would_all_and_leaves_the_others():
    phi = DOUBLE.initialize(0)
    g = {name: torch.ones_like(value) for name, value in phi.items()}
    adam = Adam(0.1)
    everything, _ = adam.step(phi, g, adam.initial_state(phi))
    last = list(phi)[-1]
    head = Masked(adam, (last,))
    moved, state = head.step(phi, g, head.initial_state(phi))
    assert torch.equal(moved[last], everything[last])
    assert not torch.equal(moved[last], phi[last])
    assert all(torch.equal(moved[name], phi[name]) for name in phi if name != last)
    assert (state.steps, head.alpha) == (1, 0.1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_of_every_optimizer_can_be_stored_selected_and_repeated(name):
    optimizer = OPTIMIZERS[name](0.01, 0.9)
    phi = {n: torch.cat([v, v + 1.0]) for n, v in DOUBLE.initialize(0).items()}
    g = {n: torch.randn(v.shape, generator=torch.Generator().manual_seed(1)).to(v) for n, v in phi.items()}
    _, state = optimizer.step(phi, g, optimizer.initial_state(phi))
    restored = State.restore(state.arrays())
    assert restored.steps == state.steps
    for run in (0, 1):
        row = slice(run, run + 1)
        alone = optimizer.step(select(phi, row), select(g, row), state.select(row))[0]
        again = optimizer.step(phi, g, restored)[0]
        twice = optimizer.step(repeat(phi, 2), repeat(g, 2), state.repeat(2))[0]
        assert relative_error(select(again, row), alone) < ROUNDOFF
        assert relative_error(select(twice, slice(2 * run, 2 * run + 1)), alone) < ROUNDOFF


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_plain_exactly_if_its_steps_are_alpha_times_the_gradient(name):
    """At its second step: the first one of heavy-ball momentum, too, is α times the gradient."""
    optimizer, start = OPTIMIZERS[name](0.01, 0.9), DOUBLE.initialize(0)
    g = {n: torch.full_like(v, 3.0) for n, v in start.items()}
    phi, state = optimizer.step(start, g, optimizer.initial_state(start))
    moved, _ = optimizer.step(phi, g, state)
    is_alpha_g = relative_error(subtract(phi, moved), scale(g, 0.01)) < ROUNDOFF
    assert optimizer.plain == is_alpha_g


@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_nesterov_is_the_momentum_of_torch(beta):
    leaf = torch.nn.Parameter(torch.tensor([[1.0, -2.0]], dtype=torch.float64))
    nesterov, phi = Nesterov(0.1, beta), {"w": leaf.detach().clone()}
    state = nesterov.initial_state(phi)
    reference = torch.optim.SGD([leaf], lr=0.1, momentum=beta, nesterov=beta > 0)
    for _ in range(5):
        leaf.grad = leaf.detach() ** 3
        phi, state = nesterov.step(phi, {"w": phi["w"] ** 3}, state)
        reference.step()
    torch.testing.assert_close(phi["w"], leaf.detach(), rtol=EXACT, atol=0)
    assert state.steps == 5


@pytest.mark.parametrize("beta", [1.0, -0.1])
def test_nesterov_momentum_of_no_decay_is_refused(beta):
    with pytest.raises(InputError, match=f"beta is {beta}"):
        Nesterov(0.1, beta)
