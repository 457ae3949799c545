"""A process that keeps the memory it frees is given the same pages again."""

import platform
import subprocess
import sys

import pytest

CHILD = """
import resource, sys
import torch
from companion.running.allocator import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "kept":
    assert keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    torch.ones(12 * 2**20).sum()
before = faults()
for _ in range(10):
    torch.ones(12 * 2**20).sum()
print(faults() - before)
"""


def faults(way: str) -> int:
    """Page faults of ten arrays, each of 48 MB and freed before the next."""
    told = subprocess.run([sys.executable, "-c", CHILD, way], check=True, capture_output=True, text=True)
    return int(told.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another one")
def test_pages_are_not_asked_for_again_where_freed_memory_is_kept():
    assert faults("kept") < faults("handed back") / 2
