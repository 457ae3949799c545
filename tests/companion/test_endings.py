"""How the command line ends: no space for its output, a second signal, a rank that is not the first."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from companion.endings import exit_code
from metalib.errors import InputError

SIGNALLED_TWICE = """
import signal
from companion.endings import stoppable
with stoppable():
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        signal.raise_signal(signal.SIGTERM)
print("survived")
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_output_that_finds_no_space_is_one_line():
    command = [sys.executable, "-m", "companion", "version"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "companion: cannot use the standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_a_second_signal_ends_at_once():
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED_TWICE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "")


@pytest.mark.parametrize(("rank", "said"), [("0", "companion: k is 0\n"), ("1", "")])
def test_of_several_ranks_only_the_first_says_what_is_wrong(monkeypatch, capsys, rank, said):
    def refused():
        raise InputError("k is 0")

    monkeypatch.setenv("RANK", rank)
    assert exit_code(refused) == 2
    assert capsys.readouterr().err == said
