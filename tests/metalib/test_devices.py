"""Every device computes what the processor does, in double precision, and is not waited for."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from metalib.data.glyphs import glyphs
from metalib.derivatives import hvp, value_and_gradient
from metalib.evaluation.classification import accuracies
from metalib.evaluation.regression import adaptation_errors
from metalib.models.convnet import ConvNet
from metalib.optimizers import OPTIMIZERS, Adam
from metalib.params import Params, repeat
from metalib.tasks.episodes import sample_episodes
from metalib.tasks.fewshot import FewShot
from metalib.tasks.sine import Sine, sample_support
from metalib.theory.taylor import expand_maml
from metalib.training import TrainingConfig, train
from metalib.training.config import ALGORITHMS
from metalib.training.loop import choose_device
from metalib.training.minibatches import blocks, losses_of, sample_block
from metalib.training.outer import outer_step
from metalib.training.outer_optimizers import OUTER_OPTIMIZERS
from tests.conftest import GPU
from tests.oracles import relative_error, sine_losses
from tests.tolerances import FLOAT32, ROUNDOFF

SINE = Sine(dtype="float64")
RUN = TrainingConfig(k=2, tasks=2, iterations=2)
TAILED = FewShot(glyphs(), shots=2, batch=6, tail_shots=1)


@pytest.fixture(params=[pytest.param("cuda", marks=GPU)])
def device(request) -> str:
    """Another device than the processor, which has nothing to be compared with but itself."""
    return request.param


def there(params: Params, device: str) -> Params:
    return {name: value.to(device) for name, value in params.items()}


def back(params: Params) -> Params:
    return {name: value.cpu() for name, value in params.items()}


def moved(loss, device: str):
    return replace(loss, inputs=loss.inputs.to(device), targets=loss.targets.to(device))


def test_gradients_and_products_of_the_mlp(device):
    (loss,), phi = sine_losses(1)
    value, g = value_and_gradient(moved(loss, device), there(phi, device))
    expected, wanted = value_and_gradient(loss, phi)
    torch.testing.assert_close(value.cpu(), expected)
    assert relative_error(back(g), wanted) < ROUNDOFF
    product = hvp(moved(loss, device), there(phi, device), g)
    assert relative_error(back(product), hvp(loss, phi, wanted)) < ROUNDOFF


def test_gradients_and_products_of_the_convolutional_networks(device):
    for net in (ConvNet(3, dtype="float64"), ConvNet(3, 3, 84, 4, pooling=True, dtype="float64")):
        phi = net.initialize(0)
        images = torch.rand(1, 4, net.size, net.size, net.channels, dtype=torch.float64)

        def loss(params: Params, net=net, images=images) -> torch.Tensor:
            return net(params, images.to(params["dense"].device)).square().sum((1, 2))

        _, g = value_and_gradient(loss, there(phi, device))
        _, wanted = value_and_gradient(loss, phi)
        assert relative_error(back(g), wanted) < ROUNDOFF
        assert relative_error(back(hvp(loss, there(phi, device), g)), hvp(loss, phi, wanted)) < ROUNDOFF


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_training_by_every_method(device, algorithm):
    config = replace(RUN, algorithm=algorithm, weights=(1.0, 2.0) if algorithm == "combination" else ())
    assert (
        relative_error(back(train(SINE, [config], device=device).phi), train(SINE, [config]).phi) < ROUNDOFF
    )


@pytest.mark.parametrize("outer", OUTER_OPTIMIZERS)
@pytest.mark.parametrize("inner", OPTIMIZERS)
def test_training_with_every_optimizer(device, inner, outer):
    config = replace(RUN, inner=inner, outer=outer, alpha=0.01, epsilon=0.01, beta1=0.5)
    assert (
        relative_error(back(train(SINE, [config], device=device).phi), train(SINE, [config]).phi) < ROUNDOFF
    )


def test_training_on_images_with_a_tail_of_another_size(device):
    config = replace(RUN, alpha=0.001)
    found = back(train(TAILED, [config], device=device).phi)
    assert relative_error(found, train(TAILED, [config]).phi) < FLOAT32


def test_evaluation(device):
    support = sample_support(0, 3, 5)
    phi, model = SINE.initialize(0), SINE.model
    errors = [adaptation_errors(model, there(phi, d), support, 0.02, 2) for d in (device, "cpu")]
    np.testing.assert_allclose(*errors, rtol=ROUNDOFF)
    episodes = [sample_episodes(glyphs(), 0, 40, steps=2)]
    scores = [
        accuracies(TAILED, there(TAILED.initialize(0), d), episodes, Adam(0.001))[0].transductive
        for d in (device, "cpu")
    ]
    np.testing.assert_allclose(*scores, atol=0.2)  # one of five images may lie on the border
    assert abs(np.mean(scores[0]) - np.mean(scores[1])) < 0.02, "and of few tasks"


def test_the_expansion(device):
    losses, phi = sine_losses(3)
    found = expand_maml([moved(loss, device) for loss in losses], there(phi, device))
    expected = expand_maml(losses, phi)
    assert relative_error(back(found.at(0.01)), expected.at(0.01)) < ROUNDOFF


def test_a_chosen_gpu_multiplies_in_full_precision(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
    choose_device("cuda")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@GPU
@pytest.mark.parametrize("family", [Sine(), TAILED], ids=["sine", "images"])
@pytest.mark.parametrize("algorithm", ["reptile", "maml"])
def test_nothing_inside_a_block_waits_for_a_gpu(family, algorithm):
    gpu = torch.device("cuda")
    configs = [replace(RUN, algorithm=algorithm, alpha=alpha) for alpha in (0.01, 0.02)]
    step = outer_step(configs, 2, gpu, torch.float32)
    state = step.initial_state(there(repeat(family.initialize(0), 2), "cuda"))
    (sampled,) = blocks(partial(sample_block, family, configs, width=2), range(1), gpu)
    try:
        for _ in range(2):  # the first time, libraries prepare themselves
            for losses in losses_of(family, sampled, 2):
                state, _ = step(state, losses, 0.1)
            torch.cuda.set_sync_debug_mode("error")
    finally:
        torch.cuda.set_sync_debug_mode("default")
