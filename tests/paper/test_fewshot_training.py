"""Section 6.1 as the authors run it, written out in plain PyTorch, against training in a stack."""

import numpy as np
import torch
from torch import nn

from companion.fewshot.settings import reptile_configs, reptile_family
from metalib.data.classes import ClassPool
from metalib.params import Params
from metalib.tasks.fewshot import FewShot
from metalib.training import TrainingConfig, train
from tests.rounding import in_double
from tests.tolerances import ROUNDOFF


def small_pool() -> ClassPool:
    images = np.random.default_rng(0).integers(0, 2, (12, 20, 28, 28, 1)).astype(np.uint8)
    return ClassPool("noise", images, train_classes=8)


def network() -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, pad in ((1, (0, 1, 0, 1)), (64, (0, 1, 0, 1)), (64, (1, 1, 1, 1)), (64, (0, 1, 0, 1))):
        norm = nn.BatchNorm2d(64, eps=1e-3, track_running_stats=False)
        layers += [nn.ZeroPad2d(pad), nn.Conv2d(inputs, 64, 3, stride=2), norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 5)).double()


def weights_of(model: nn.Sequential) -> Params:
    """Name and lay out the weights of the plain network as `ConvNet` does."""
    params = {}
    for i in range(4):
        conv, norm = model[4 * i + 1], model[4 * i + 2]
        params[f"conv_{i}"] = conv.weight.permute(0, 2, 3, 1)[None]
        params[f"bias_{i}"] = conv.bias[None]
        params[f"gamma_{i}"], params[f"beta_{i}"] = norm.weight[None], norm.bias[None]
    dense = model[-1].weight.unflatten(1, (64, 2, 2)).permute(0, 2, 3, 1).flatten(1)
    return params | {"dense": dense.T[None], "dense_bias": model[-1].bias[None, None]}


def load(model: nn.Sequential, params: Params) -> None:
    """Undo `weights_of`: copy weights laid out as in `ConvNet` into the plain network."""
    with torch.no_grad():
        for i in range(4):
            conv, norm = model[4 * i + 1], model[4 * i + 2]
            conv.weight.copy_(params[f"conv_{i}"][0].permute(0, 3, 1, 2))
            conv.bias.copy_(params[f"bias_{i}"][0])
            norm.weight.copy_(params[f"gamma_{i}"][0])
            norm.bias.copy_(params[f"beta_{i}"][0])
        by_pixel = params["dense"][0].T.unflatten(1, (2, 2, 64))
        model[-1].weight.copy_(by_pixel.permute(0, 3, 1, 2).flatten(1))
        model[-1].bias.copy_(params["dense_bias"][0, 0])


def literal(family: FewShot, config: TrainingConfig) -> Params:
    """Train one run with one network, one optimizer for everything, and a loop per task and minibatch."""
    model = network()
    load(model, family.initialize(config.seed))
    weights = list(model.parameters())
    adam = torch.optim.Adam(weights, lr=config.alpha, betas=(0.0, 0.999))
    sampled = family.sample(config.seed, 0, config.tasks, config.k)
    for i in range(config.iterations):
        before, after = [w.detach().clone() for w in weights], [torch.zeros_like(w) for w in weights]
        for task in range(config.tasks):
            for step in range(config.k):
                images = family.pool.gather(torch.from_numpy(sampled["image"][i, task, step]))
                labels = torch.from_numpy(sampled["label"][i, task, step])
                adam.zero_grad()
                nn.CrossEntropyLoss(reduction="none")(
                    model(images.permute(0, 3, 1, 2)), labels
                ).sum().backward()
                adam.step()
            with torch.no_grad():
                for total, weight, start in zip(after, weights, before, strict=True):
                    total += weight / config.tasks
                    weight.copy_(start)
        epsilon = 1.0 - i / config.iterations
        with torch.no_grad():
            for weight, start, end in zip(weights, before, after, strict=True):
                weight.copy_(start + epsilon * (end - start))
    return {name: value.detach() for name, value in weights_of(model).items()}


def test_stacked_training_is_the_authors_loop_written_out():
    family, configs = in_double(reptile_family(small_pool(), 5)), reptile_configs(5, 2, seeds=(0, 1))
    trained = train(family, configs)
    for run in range(2):
        start, expected = family.initialize(run), literal(family, configs[run])
        for name, value in expected.items():
            # Batch normalization removes the bias before it, so its gradient is roundoff, which Adam scales
            # up to steps of size α: biases wander, differently in every implementation, and to no effect.
            if not name.startswith("bias"):
                ours = trained.phi[name][run : run + 1]
                error = (ours - value).norm() / (value - start[name]).norm()
                assert float(error) < ROUNDOFF, name
