"""A process that keeps the memory it frees is given the same pages again."""

import platform
import subprocess
import sys

import pytest

from companion.running import runner, stacks
from tests.companion.running.sweep import SWEEP

CHILD = """
import resource, sys
import torch
from companion.running.allocator import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "kept":
    assert keep_freed_memory()
found = []
for _ in range(41):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(12 * 2**20).sum()
    found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sorted(found[20:])[10])
"""
"""Blocks that are larger than glibc keeps by itself; the first ones may lie so that no other fits in."""


def faults(way: str) -> int:
    """Page faults of an array of 48 MB, freed before the next: the median of some."""
    told = subprocess.run([sys.executable, "-c", CHILD, way], check=True, capture_output=True, text=True)
    return int(told.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another one")
def test_pages_are_not_asked_for_again_where_freed_memory_is_kept():
    assert faults("kept") < faults("handed back") / 2


def test_processes_that_train_keep_what_they_free(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(stacks, "keep_freed_memory", lambda: asked.append(True))
    runner.run(SWEEP, "smoke", seeds=(0,), results=tmp_path)
    assert asked
