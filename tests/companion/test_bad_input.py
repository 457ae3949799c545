"""The command line when things go wrong: one line, the right exit code, nothing half-written."""

import re
import signal
import sys
from pathlib import Path

import pytest

from companion.__main__ import main
from companion.running import runner

TRAIN = [
    ("--evaluation-tasks 0", "--evaluation-tasks is 0; score on at least one unseen task"),
    ("--evaluation-tasks -3", "--evaluation-tasks is -3; score on at least one unseen task"),
    ("--evaluation-tasks 1000000000", r"--evaluation-tasks is 1000000000, which needs at least 12,\d+ GiB"),
    ("--alpha 1e39", r"--alpha is 1e\+39; weights are float32, which holds 1.2e-38 to 3.4e\+38"),
    ("--alpha 1e-50", "--alpha is 1e-50; weights are float32"),
    ("--alpha nan", "--alpha is nan; the inner step size must be a number greater than 0"),
    ("--alpha inf", "--alpha is inf; the inner step size must be a number greater than 0"),
    ("--alpha 0", "--alpha is 0.0; the inner step size must be a number greater than 0"),
    ("--alpha -0.02", "--alpha is -0.02; the inner step size must be a number greater than 0"),
    ("--algorithm combination --k 2 --weights 1,1e308", r"--weights are \(1.0, 1e\+308\); a float32 holds"),
    ("--algorithm combination --k 2 --weights 1,nan", "--weights are .*; give finite numbers"),
    ("--algorithm combination --k 2 --weights 1,1_0", "--weights is '1,1_0'; write numbers separated by"),
    ("--algorithm combination --k 2 --weights 1,x", "--weights is '1,x'; write numbers separated by commas"),
    ("--algorithm combination --k 2 --weights 1", "--weights has 1 entries for k = 2"),
    ("--weights 1,1", "algorithm 'reptile' takes no weights"),
    ("--k 1000000000", r"--k is 1000000000, which needs at least [\d,]+ GiB of memory, and cpu has \d"),
    ("--tasks 1000000000", r"--tasks is 1000000000, which with k = 5 needs at least 3,725 GiB"),
    ("--k 1000000001", "--k is 1000000001; it can be at most 1000000000"),
    ("--iterations 10000000000", "--iterations is 10000000000; it can be at most 1000000000"),
    ("--iterations 0", "--iterations is 0; it must be a whole number of at least 1"),
    ("--tasks 0", "--tasks is 0; it must be a whole number of at least 1"),
    ("--threads 100000", r"--threads is 100000; this machine has \d+ to offer"),
    ("--threads -1", "--threads is -1; at least 1 has to do the work"),
    ("--seeds 1_0", "--seeds is '1_0'; write whole numbers separated by commas"),
    ("--seeds ١", "--seeds is '١'; write whole numbers separated by commas"),
    ("--seeds 1,２", "--seeds is '1,２'; write whole numbers separated by commas"),
    ("--seeds 0.5", "--seeds is '0.5'; write whole numbers"),
    ("--seeds 1e3", "--seeds is '1e3'; write whole numbers"),
    ("--seeds 0x1", "--seeds is '0x1'; write whole numbers"),
    ("--seeds ,", "seeds is empty; give at least one seed"),
    ("--seeds 0,0", r"seeds \[0, 0\] repeat themselves"),
    ("--seeds -1", "seed is -1; seeds are whole numbers from 0 to"),
    ("--algorithm reptil", "--algorithm is 'reptil'; .*; did you mean 'reptile'?"),
    ("--algorithm fo-maml", "did you mean 'fomaml'?"),
    ("--inner adam-frsh", "--inner is 'adam-frsh'; choose one of sgd, adam, .*did you mean 'adam-fresh'?"),
    ("--outer interpolat", "did you mean 'interpolate'?"),
    ("--activation tan", "--activation is 'tan'; choose one of tanh, relu"),
    ("--beta1 1", "--beta1 is 1.0; a decay needs 0 <= beta1 < 1"),
    ("--beta1 nan", "--beta1 is nan; a decay needs"),
    ("--epsilon nan", r"--epsilon is nan; the outer step size must lie in \[0, 1\]"),
    ("--epsilon-final 2", r"--epsilon-final is 2.0; the outer step size must lie in \[0, 1\]"),
    ("--points 0", "--points is 0; the learner may see 1 to 50 points"),
    ("--device tpu", "--device is 'tpu'; it can be cpu, cuda"),
    ("--device cpu:1", "--device is 'cpu:1'"),
    ("--device cuda:٣", "--device is 'cuda:"),
    ("--results ", "--results is empty; name a folder, such as runs"),
]
RUN = [
    (
        "sine-figure1",
        "no experiment 'sine-figure1'; choose one of .*; did you mean 'sine-figure-1'?",
    ),
    ("figure4A", "did you mean 'figure4a'?"),
    ("qqqq", "there is no experiment 'qqqq'; choose one of [^?]*$"),
    ("sine-figure-1 --budget smok", "--budget is 'smok'; sine-figure-1 has .*; did you mean 'smoke'?"),
    ("sine-figure-1 --budget SMOKE", "--budget is 'SMOKE'; sine-figure-1 has smoke, quick, paper"),
    ("sine-figure-1 --jobs -1", "--jobs is -1; at least 1 process has to do the work"),
    ("sine-figure-1 --seeds 1_0", "--seeds is '1_0'"),
    ("sine-figure-1 --results ", "--results is empty"),
]


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["companion", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0), capsys.readouterr()


@pytest.mark.parametrize(
    ("command", "message"),
    [(f"train {options}", m) for options, m in TRAIN] + [(f"run {options}", m) for options, m in RUN],
)
def test_bad_input_is_refused_in_one_line_that_names_the_option(
    monkeypatch, capsys, tmp_path, command, message
):
    place = [] if "--results" in command else ["--results", str(tmp_path / "r")]
    monkeypatch.chdir(tmp_path)
    code, printed = call(monkeypatch, capsys, *command.split(" "), *place)
    complaint = printed.err.strip().splitlines()[-1]
    assert code == 2
    assert re.search(rf"^companion: .*{message}", complaint), complaint
    assert len([line for line in printed.err.splitlines() if "companion: " in line]) == 1
    assert not list(tmp_path.glob("**/provenance.json"))
    assert not list(tmp_path.glob("**/*.npz"))


def test_help_names_every_choice_and_option(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    _, printed = call(monkeypatch, capsys, "train", "--help")
    for expected in ("adam-fresh", "--beta1", "--epsilon-final", "interpolate, adam"):
        assert expected in printed.out


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_ends_the_work_in_one_line(monkeypatch, capsys, tmp_path, number, code, word):
    def signalled(*_, **__):
        signal.raise_signal(number)
        pytest.fail("nobody heard the signal")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(runner, "run", signalled)
    # A shell lets programs in its background ignore SIGINT; the tests may be one of them.
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        ended, printed = call(monkeypatch, capsys, "train", "--results", str(tmp_path))
    finally:
        signal.signal(signal.SIGINT, interrupt)
    assert ended == code
    complaint = printed.err.strip()
    assert complaint == f"companion: {word}; the same command goes on from the last checkpoint"
    assert signal.getsignal(signal.SIGTERM) == before, "whoever calls main keeps their own handler"


def test_an_unexpected_error_is_one_line_that_says_where_its_log_is(monkeypatch, capsys, tmp_path):
    def broken(*_, **__):
        raise ZeroDivisionError("of our own\nmaking")

    monkeypatch.setattr(runner, "run", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, printed = call(monkeypatch, capsys, "train", "--results", str(tmp_path))
    assert code == 1
    (complaint,) = printed.err.strip().splitlines()
    assert complaint.startswith("companion: unexpected ZeroDivisionError; report it with its log, ")
    log = Path(complaint.rpartition(", ")[2]).read_text()
    assert "ZeroDivisionError: of our own" in log
    assert "train --results" in log
