"""The committed notebooks print the same again, whatever the processor and the number of threads."""

import os

import pytest

from companion.publishing.forms import SWITCH
from tests.book.sources import NOTEBOOKS, compare_outputs

OTHERWISE = {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default", SWITCH: "none"}
"""One thread, no vector unit; and not the forms of figures, which are not compared. The committed outputs
come from an execution with all of these: one more shows what differs, and what was changed since."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_prints_the_same_again(path):
    result = compare_outputs(path, env=os.environ | OTHERWISE)
    assert result.returncode == 0, result.stdout
