"""One rule says how much is done side by side."""

import pytest
import torch

from metalib.memory import WORKING_SET, bytes_of, side_by_side
from metalib.models.convnet import ConvNet, omniglot_net
from metalib.tasks.sine import Sine


def test_as_many_stand_side_by_side_as_fit_the_working_set_and_at_least_one(monkeypatch):
    monkeypatch.setitem(WORKING_SET, "cpu", 100)
    assert [side_by_side(size, "cpu") for size in (1, 30, 100, 101)] == [100, 3, 1, 1]
    assert side_by_side(10**12, torch.device("cuda", 3)) == 1


COLOR = ConvNet(5, channels=3, size=84, filters=32, pooling=True)


@pytest.mark.parametrize("net", [omniglot_net(5), omniglot_net(20, "float64"), COLOR])
def test_a_network_of_no_images_touches_its_weights_and_every_image_adds_the_same(net):
    assert net.footprint(0) == bytes_of(net.initialize(0))
    assert net.footprint(9) - net.footprint(8) == net.footprint(1) - net.footprint(0) > 0


def test_activations_of_the_omniglot_network_are_counted_as_autograd_sees_them():
    net, images = omniglot_net(5), torch.rand(1, 10, 28, 28, 1)
    phi = {name: value.requires_grad_() for name, value in net.initialize(0).items()}
    kept: dict[int, int] = {}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        net(phi, images).sum()
    assert 0.4 < sum(kept.values()) / net.footprint(10) < 1.6


def test_sine_networks_are_small_enough_for_hundreds():
    assert 100 < side_by_side(Sine().footprint, "cpu") < 2_000
