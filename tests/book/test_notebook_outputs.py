"""The committed notebooks print the same again, whatever the processor and the number of threads."""

import os

import pytest

from tests.book.sources import NOTEBOOKS, compare_outputs

SETTINGS = {
    "default": {},
    # Both at once: what differs by either shows, in one execution instead of two.
    "one-thread-no-vector-unit": {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default"},
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_prints_the_same_again(path, setting):
    varied = {name for values in SETTINGS.values() for name in values}
    environment = {name: value for name, value in os.environ.items() if name not in varied}
    result = compare_outputs(path, env=environment | SETTINGS[setting])
    assert result.returncode == 0, result.stdout
