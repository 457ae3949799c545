"""A process that keeps the memory it frees is given the same pages again."""

import platform
import subprocess
import sys

import pytest

CHILD = """
import resource, sys
from functools import partial
import torch
from companion.running.allocator import keep_freed_memory
from metalib.derivatives import MinibatchLoss, cross_entropy, gradient
from metalib.models.convnet import ConvNet
torch.set_num_threads(1)
if sys.argv[1] == "kept":
    assert keep_freed_memory()
net = ConvNet(5, channels=3, size=84, filters=32, pooling=True)
phi, images = net.initialize(0), torch.rand(1, 10, 84, 84, 3)
loss = MinibatchLoss(net, partial(cross_entropy, reduction="sum"), images, torch.arange(10)[None] % 5)
found = []
for _ in range(15):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    gradient(loss, phi)
    found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sorted(found[4:])[5])
"""


def faults(way: str) -> int:
    """Page faults of a gradient on photographs, the median of some."""
    told = subprocess.run([sys.executable, "-c", CHILD, way], check=True, capture_output=True, text=True)
    return int(told.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another one")
def test_pages_are_not_asked_for_again_where_freed_memory_is_kept():
    assert faults("kept") < faults("handed back") / 2
