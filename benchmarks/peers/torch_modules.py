"""The networks as `torch.nn` modules, for every peer that is built on PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers.work import Point, Weights
from metalib.models.convnet import ConvNet
from metalib.models.layers import BATCH_NORM_EPS
from metalib.models.mlp import SINE_WIDTHS


def sine_module() -> nn.Sequential:
    """Return the network 1 → 64 → 64 → 1 with tanh."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(SINE_WIDTHS):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def conv_module(net: ConvNet) -> nn.Sequential:
    """Return a convolutional network that takes images as [batch, channels, size, size]."""
    layers: list[nn.Module] = []
    inputs, size = net.channels, net.size
    for _ in range(4):
        stride, padding = (1, 1) if net.pooling else (2, size % 2)
        if stride == 2 and size % 2 == 0:
            layers.append(nn.ZeroPad2d((0, 1, 0, 1)))
        layers.append(nn.Conv2d(inputs, net.filters, 3, stride, padding))
        layers.append(nn.BatchNorm2d(net.filters, eps=BATCH_NORM_EPS, track_running_stats=False))
        if net.pooling:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        layers.append(nn.ReLU())
        inputs, size = net.filters, -(-size // 2)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(net.features, net.ways))


def module_of(net: ConvNet | None) -> nn.Sequential:
    """Return the module of a convolutional network, or the multilayer perceptron."""
    return sine_module() if net is None else conv_module(net)


def to_module(phi: Weights, net: ConvNet | None = None) -> dict[str, Tensor]:
    """Return weights under the names and in the shapes of the module."""
    names = [name for name, _ in module_of(net).named_parameters()]
    arrays = [_turned(name, value, net) for name, value in phi.items()]
    return {
        name: torch.tensor(np.ascontiguousarray(array)) for name, array in zip(names, arrays, strict=True)
    }


def from_module(state: Mapping[str, Tensor], like: Weights, net: ConvNet | None = None) -> Weights:
    """Return what has the names and shapes of the module as weights."""
    arrays = [value.detach().numpy() for value in state.values()]
    return {
        name: _turned_back(name, array, net).reshape(like[name].shape)
        for name, array in zip(like, arrays, strict=True)
    }


def loaded(phi: Weights, net: ConvNet | None = None) -> nn.Sequential:
    """Return a module with these weights, in their precision."""
    state = to_module(phi, net)
    module = module_of(net).to(next(iter(state.values())).dtype)
    module.load_state_dict(state)
    return module


def summed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy, summed over the minibatch as in the authors' code."""
    return F.cross_entropy(logits, labels, reduction="sum")


def criterion(net: ConvNet | None) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the criterion of a network: the summed cross-entropy, or the mean squared error."""
    return F.mse_loss if net is None else summed_cross_entropy


def prepared(work: Point) -> tuple[nn.Module, Tensor, Tensor]:
    """Return the module at φ, and the minibatch."""
    inputs = torch.from_numpy(work.inputs) if work.net is None else to_images(work.inputs)
    return loaded(work.phi, work.net), inputs, torch.from_numpy(work.targets)


def to_images(array: np.ndarray) -> Tensor:
    """Return images with the channel before height and width, in the memory format of a fresh tensor."""
    # A copy: a single channel looks the same in both memory formats, and convolutions follow the guess.
    return torch.tensor(np.moveaxis(array, -1, -3)).clone(memory_format=torch.contiguous_format)


def _turned(name: str, value: np.ndarray, net: ConvNet | None) -> np.ndarray:
    """Return a weight of metalib's as the module holds it: outputs first, channels before pixels."""
    if name.startswith("conv"):
        return value.transpose(0, 3, 1, 2)
    if name == "dense" and net is not None:
        side = round((net.features // net.filters) ** 0.5)
        return value.reshape(side, side, net.filters, net.ways).transpose(3, 2, 0, 1).reshape(net.ways, -1)
    return value.T if name.startswith("weight") else value.reshape(-1)


def _turned_back(name: str, value: np.ndarray, net: ConvNet | None) -> np.ndarray:
    """Undo `_turned`, up to axes of length one."""
    if name.startswith("conv"):
        return value.transpose(0, 2, 3, 1)
    if name == "dense" and net is not None:
        side = round((net.features // net.filters) ** 0.5)
        return value.reshape(net.ways, net.filters, side, side).transpose(2, 3, 1, 0)
    return value.T if name.startswith("weight") else value
