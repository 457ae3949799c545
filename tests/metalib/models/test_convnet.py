"""The stacked networks against a literal one made of torch.nn modules."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from metalib.data.glyphs import glyphs
from metalib.derivatives import MinibatchLoss, cross_entropy, gradient, hvp
from metalib.errors import InputError
from metalib.inner import inner_loop
from metalib.meta_gradients import maml
from metalib.models import layers
from metalib.models.convnet import LAYERS, ConvNet, omniglot_net
from metalib.optimizers import SGD
from metalib.params import Params, norm, select, subtract
from metalib.tasks.fewshot import FewShot
from tests.tolerances import EXACT, FLOAT32, ROUNDOFF


def literal_network(net: ConvNet) -> nn.Sequential:
    """The architecture spelled out, padding included: 28 → 14 → 7 → 4 → 2, or 84 → 42 → 21 → 11 → 6."""
    modules: list[nn.Module] = []
    inputs, size = net.channels, net.size
    for _ in range(4):
        if net.pooling:
            modules += [nn.Conv2d(inputs, net.filters, 3, padding=1)]
        elif size % 2 == 0:
            modules += [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(inputs, net.filters, 3, stride=2)]
        else:
            modules += [nn.ZeroPad2d((1, 1, 1, 1)), nn.Conv2d(inputs, net.filters, 3, stride=2)]
        modules += [nn.BatchNorm2d(net.filters, eps=1e-3, track_running_stats=False)]
        if net.pooling:
            bottom_right = size % 2
            modules += [
                nn.ConstantPad2d((0, bottom_right, 0, bottom_right), -torch.inf),
                nn.MaxPool2d(2, 2),
            ]
        modules += [nn.ReLU()]
        inputs, size = net.filters, -(-size // 2)
    return nn.Sequential(*modules, nn.Flatten(), nn.Linear(size * size * net.filters, net.ways)).double()


def load(reference: nn.Sequential, net: ConvNet, params: dict[str, torch.Tensor]) -> None:
    """Copy the weights of a stack of one into the literal network, whose images are channels-first."""
    convolutions = [m for m in reference if isinstance(m, nn.Conv2d)]
    norms = [m for m in reference if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for i, (conv, norm) in enumerate(zip(convolutions, norms, strict=True)):
            conv.weight.copy_(params[f"conv_{i}"][0].permute(0, 3, 1, 2))
            conv.bias.copy_(params[f"bias_{i}"][0])
            norm.weight.copy_(params[f"gamma_{i}"][0])
            norm.bias.copy_(params[f"beta_{i}"][0])
        side = round((net.features // net.filters) ** 0.5)
        by_channel = params["dense"][0].T.unflatten(1, (side, side, net.filters)).permute(0, 3, 1, 2)
        reference[-1].weight.copy_(by_channel.flatten(1))
        reference[-1].bias.copy_(params["dense_bias"][0, 0])


def random_weights(net: ConvNet, seed: int) -> dict[str, torch.Tensor]:
    """Weights at which nothing is zero or one by accident."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value + 0.1 * torch.randn(value.shape, generator=generator, dtype=value.dtype)
        for name, value in net.initialize(seed).items()
    }


def minibatch(net: ConvNet, runs: int, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    images = torch.rand(runs, batch, net.size, net.size, net.channels, generator=generator).double()
    return images, torch.randint(net.ways, (runs, batch), generator=generator)


NETS = {
    "omniglot": omniglot_net(5, "float64"),
    "miniimagenet": ConvNet(5, channels=3, size=84, filters=32, pooling=True, dtype="float64"),
    "small": ConvNet(3, channels=2, size=20, filters=6, dtype="float64"),
}


@pytest.mark.parametrize("name", NETS)
def test_network_and_its_gradient_equal_the_literal_network(name):
    net = NETS[name]
    runs = [random_weights(net, seed) for seed in (0, 1)]
    stacked = {name: torch.cat([run[name] for run in runs]) for name in runs[0]}
    images, labels = minibatch(net, len(runs), batch=3)
    logits = net(stacked, images)
    g = gradient(lambda p: cross_entropy(net(p, images), labels, "sum"), stacked)
    for r, run in enumerate(runs):
        reference = literal_network(net)
        load(reference, net, run)
        expected = reference(images[r].permute(0, 3, 1, 2))
        torch.testing.assert_close(logits[r], expected, rtol=ROUNDOFF, atol=ROUNDOFF)
        nn.functional.cross_entropy(expected, labels[r], reduction="sum").backward()
        convolutions = [m for m in reference if isinstance(m, nn.Conv2d)]
        norms = [m for m in reference if isinstance(m, nn.BatchNorm2d)]
        for i, (conv, normed) in enumerate(zip(convolutions, norms, strict=True)):
            kernel = conv.weight.grad.permute(0, 2, 3, 1)
            torch.testing.assert_close(g[f"conv_{i}"][r], kernel, rtol=ROUNDOFF, atol=ROUNDOFF)
            torch.testing.assert_close(g[f"bias_{i}"][r], conv.bias.grad, rtol=ROUNDOFF, atol=ROUNDOFF)
            torch.testing.assert_close(g[f"gamma_{i}"][r], normed.weight.grad, rtol=ROUNDOFF, atol=ROUNDOFF)
            torch.testing.assert_close(g[f"beta_{i}"][r], normed.bias.grad, rtol=ROUNDOFF, atol=ROUNDOFF)
        torch.testing.assert_close(
            g["dense_bias"][r, 0], reference[-1].bias.grad, rtol=ROUNDOFF, atol=ROUNDOFF
        )


@pytest.mark.parametrize("name", NETS)
def test_layers_are_what_every_relu_leaves_and_the_logits(name):
    net = NETS[name]
    run = random_weights(net, 0)
    images, _ = minibatch(net, 1, batch=3)
    layers = net.layers(run, images)
    reference = literal_network(net)
    load(reference, net, run)
    hidden, expected = images[0].permute(0, 3, 1, 2), []
    for module in reference:
        hidden = module(hidden)
        if isinstance(module, nn.ReLU):
            expected.append(hidden.permute(0, 2, 3, 1).flatten(1))
    for layer, literal in zip(layers, [*expected, hidden], strict=True):
        torch.testing.assert_close(layer[0], literal, rtol=ROUNDOFF, atol=ROUNDOFF)


def test_five_way_omniglot_network_has_the_weights_of_the_paper():
    assert sum(value.numel() for value in omniglot_net(5).initialize(0).values()) == 113_221


def test_weights_are_glorot_uniform_with_zero_biases():
    params = omniglot_net(5).initialize(0)
    for name, fans in {"conv_0": 9 * (1 + 64), "conv_1": 9 * (64 + 64), "dense": 256 + 5}.items():
        bound = (6.0 / fans) ** 0.5
        largest = float(params[name].abs().max())
        assert 0.98 * bound < largest <= bound, name
    assert not params["bias_2"].any()
    assert not params["dense_bias"].any()
    assert bool((params["gamma_1"] == 1.0).all())


def test_predictions_depend_on_the_other_images_of_the_batch():
    net = NETS["small"]
    params = random_weights(net, 0)
    images, _ = minibatch(net, 1, batch=4)
    assert not torch.allclose(net(params, images)[:, :2], net(params, images[:, :2]))


def test_runs_of_a_stack_do_not_touch_each_other():
    net = NETS["small"]
    runs = [random_weights(net, seed) for seed in (0, 1, 2)]
    stacked = {name: torch.cat([run[name] for run in runs]) for name in runs[0]}
    images, _ = minibatch(net, 3, batch=4)
    alone = net(select(stacked, slice(1, 2)), images[1:2])
    torch.testing.assert_close(net(stacked, images)[1:2], alone, rtol=ROUNDOFF, atol=ROUNDOFF)


def test_maml_through_batch_norm_equals_autograd_through_the_loop():
    net = NETS["small"]
    phi = random_weights(net, 0)
    losses = []
    for i in range(3):
        generator = torch.Generator().manual_seed(i)
        images = torch.rand(1, 4, net.size, net.size, net.channels, generator=generator).double()
        labels = torch.randint(net.ways, (1, 4), generator=generator)
        losses.append(
            MinibatchLoss(net, lambda logits, wanted: cross_entropy(logits, wanted, "sum"), images, labels)
        )
    alpha = 0.01
    leaves = {name: value.clone().requires_grad_() for name, value in phi.items()}
    weights = leaves
    for loss in losses[:-1]:
        gradients = torch.autograd.grad(loss(weights).sum(), list(weights.values()), create_graph=True)
        weights = {n: w - alpha * g for (n, w), g in zip(weights.items(), gradients, strict=True)}
    through = torch.autograd.grad(losses[-1](weights).sum(), list(leaves.values()))
    walked_back = maml(inner_loop(losses, phi, SGD(alpha)))
    scale = max(float(g.abs().max()) for g in through)
    for expected, actual in zip(through, walked_back.values(), strict=True):
        torch.testing.assert_close(actual, expected, rtol=ROUNDOFF, atol=ROUNDOFF * scale)


def test_fewer_than_two_ways_is_an_error():
    with pytest.raises(InputError, match="ways is 1"):
        ConvNet(ways=1)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_batch_norm_is_pytorchs_with_first_and_second_derivatives(memory):
    """PyTorch's own first and second derivatives, by x, γ and β, of a loss that mixes all three gradients."""
    generator = torch.Generator().manual_seed(0)
    x, scale = (torch.randn(4, 3, 5, 5, generator=generator).double() for _ in range(2))
    gamma, beta = (torch.randn(3, generator=generator).double() for _ in range(2))
    leaves = [x.to(memory_format=memory).requires_grad_(), gamma.requires_grad_(), beta.requires_grad_()]

    def theirs(x, gamma, beta):
        return F.batch_norm(x, None, None, gamma, beta, training=True, eps=layers.BATCH_NORM_EPS)

    found = []
    for normalize in (layers.batch_norm, theirs):
        y = normalize(*leaves)
        first = torch.autograd.grad((y.sin() * scale).sum(), leaves, create_graph=True)
        mixed = sum((g * torch.arange(g.numel()).view_as(g).cos()).sum() for g in first)
        found.append([y, *first, *torch.autograd.grad(mixed, leaves)])
    for ours, wanted in zip(*found, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=EXACT, atol=EXACT)


def third_gradient(family: FewShot, seed: int, dtype: str) -> Params:
    """g_3 on glyphs, computed in some precision."""
    net, number = replace(family.net, dtype=dtype), getattr(torch, dtype)
    drawn = {name: torch.from_numpy(value[0, 0]) for name, value in family.sample(seed, 0, 1, 3).items()}
    losses = [
        replace(family.loss({"image": image[None], "label": label[None]}), model=net)
        for image, label in zip(drawn["image"], drawn["label"], strict=True)
    ]
    losses = [replace(loss, inputs=loss.inputs.to(number)) for loss in losses]
    phi = {name: value.to(number) for name, value in family.initialize(seed).items()}
    return {name: value.double() for name, value in inner_loop(losses, phi, SGD(0.003)).g[-1].items()}


def test_roundoff_does_not_drown_the_gradients_of_drawings_on_blank_paper():
    """Most positions of a channel are alike there: a sum of one after the other rounds badly; ReLUs flip.

    One that flips by chance hides the rest, in a third of the draws; with PyTorch's own sums, in nine of ten.
    """
    family = FewShot(glyphs(), ways=5, shots=15, batch=25, scheme="disjoint")
    close = 0
    for seed in range(25):
        double = third_gradient(family, seed, "float64")
        rounded = subtract(third_gradient(family, seed, "float32"), double)
        close += float(norm(rounded) / norm(double)) < 10 * FLOAT32
    assert close >= 10


def test_a_hessian_vector_product_of_batch_norm_costs_three_passes_of_its_kernel(monkeypatch):
    """For the gradient, for its derivative, and on the way back through the forward pass."""
    calls = []
    kernel = layers._backward
    monkeypatch.setattr(layers, "_backward", lambda *a: (calls.append(1), kernel(*a))[1])
    net = ConvNet(2, filters=2, dtype="float64")
    phi = net.initialize(0)
    hvp(lambda params: net(params, torch.rand(1, 2, 28, 28, 1).double()).square().sum((1, 2)), phi, phi)
    assert len(calls) == 3 * LAYERS


@pytest.mark.parametrize(("stride", "padding", "groups"), [(2, 0, 1), (1, 1, 2)])
def test_a_convolution_of_data_is_pytorchs_with_first_and_second_derivatives(stride, padding, groups):
    generator = torch.Generator().manual_seed(0)
    x, kernel, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((4, 2 * groups, 7, 7), (3 * groups, 2, 3, 3), (3 * groups,))
    )
    leaves = [kernel.requires_grad_(), bias.requires_grad_()]
    found = []
    for ours in (True, False):
        data = x.clone().requires_grad_(not ours)
        y = layers.convolution(data, *leaves, stride, padding, groups)
        first = torch.autograd.grad(y.sin().sum(), leaves, create_graph=True)
        mixed = sum((g * torch.arange(g.numel()).view_as(g).cos()).sum() for g in first)
        found.append([y, *first, *torch.autograd.grad(mixed, leaves)])
    for ours, wanted in zip(*found, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=EXACT, atol=EXACT)


def test_a_hessian_vector_product_takes_no_derivative_by_the_images():
    """The first layer: forward, gradient by its kernel, derivative of that, and the way back through it."""
    images, kernel = torch.rand(2, 3, 8, 8).double(), torch.rand(4, 3, 3, 3).double()
    given = {"kernel": kernel, "bias": torch.rand(4).double()}

    def outputs(params: Params) -> Tensor:
        return layers.convolution(images, params["kernel"], params["bias"], 1, 1, 1)

    with FlopCounterMode(display=False) as forward:
        outputs(given)
    with FlopCounterMode(display=False) as whole:
        hvp(lambda params: outputs(params).square().sum()[None], given, given)
    assert whole.get_total_flops() == 4 * forward.get_total_flops()
