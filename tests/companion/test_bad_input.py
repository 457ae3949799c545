"""The command line when things go wrong: one line, the right exit code, nothing half-written."""

import inspect
import re
import signal
import sys
from pathlib import Path

import pytest

from companion.__main__ import main, train
from companion.running import runner
from metalib.models.mlp import ACTIVATIONS
from metalib.optimizers import OPTIMIZERS
from metalib.training.config import ALGORITHMS
from metalib.training.outer_optimizers import OUTER_OPTIMIZERS

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
    ("--beta1 0.9", "--beta1 is 0.9, and plain SGD has no moments; set inner to 'adam'"),
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
    ("--device cuda:01", "--device is 'cuda:01'"),
    ("--device cuda:", "--device is 'cuda:'"),
    ("--results ", "--results is empty; name a folder, such as runs"),
    *(
        (f"--{name} {text}", f"--{name} is '{text}'; write a whole number, such as 5")
        for name in ("k", "iterations", "tasks", "points", "evaluation-tasks", "threads")
        for text in ("1_0", "٣", "1.5", "x")
    ),
    *(
        (f"--{name} {text}", f"--{name} is '{text}'; write a number, such as 0.02")
        for name in ("alpha", "epsilon", "epsilon-final", "beta1")
        for text in ("1_0.0", "０.1", "1,5", "0x1p-3")
    ),
    ("--k ", "--k is ''; write a whole number"),
    ("--k 1e3", "--k is '1e3'; write a whole number"),
    ("--k " + 5_000 * "9", f"--k is '{40 * '9'}…'; write a whole number"),
    ("--seeds " + 5_000 * "9", "--seeds is '9+…'; write whole numbers separated by commas"),
    ("--alpha 1e999", "--alpha is inf; the inner step size must be a number greater than 0"),
    ("--epsilon infinity", "--epsilon is 'infinity'; write a number"),
    ("--epsilon -1e-9", r"--epsilon is -1e-09; the outer step size must lie in \[0, 1\]"),
    ("--weights 1;1", "--weights is '1;1'; write numbers separated by commas"),
    ("--algorithm REPTILE", "did you mean 'reptile'?"),
    ("--algorithm combination", "--weights has 0 entries for k = 5; give one per inner step"),
    ("--algorithm maml --inner adam", "differentiates through plain SGD; set inner to 'sgd'"),
    ("--alfa 1", r"No such option: --alfa \(Possible options: .*--alpha.*\); see --help"),
    ("--seed 1", r"No such option: --seed \(Possible options: --seeds\); see --help"),
    ("reptile", "Got unexpected extra argument.*reptile.*; see --help"),
    ("--device ", "--device is ''; it can be cpu, cuda"),
    ("--device CPU", "--device is 'CPU'; it can be cpu, cuda"),
    ("--device cuda:-1", "--device is 'cuda:-1'"),
    ("--outer nesterv", "--outer is 'nesterv'; choose one of"),
    ("--results /dev/null", "cannot write to /dev/null/.unfinished: Not a directory"),
    ("--results /proc/nowhere", "cannot (write to|use) /proc/nowhere"),
    ("--results " + 300 * "x", "cannot (write to|use) x+.*: File name too long"),
    ("--results loop", "cannot (write to|use) .*loop.*: (Too many levels of symbolic links|File exists)"),
    ("--results file", "cannot write to file/.unfinished"),
    ("--results file --dry-run --k 0", "--k is 0; it must be a whole number of at least 1"),
    ("--dry-run --k 1000000000", "--k is 1000000000, which needs at least"),
    ("--again --seeds -1", "seed is -1"),
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
    ("sine-figure-1 --threads 2 --jobs 2", "--threads is 2; with 2 jobs, each has one thread"),
    ("sine-figure-1 --jobs -1", "--jobs is -1; at least 1 process has to do the work"),
    ("sine-figure-1 --seeds 1_0", "--seeds is '1_0'"),
    ("sine-figure-1 --results ", "--results is empty"),
    ("sine-figure-1 --compile on", "--compile is 'on'; choose one of no, auto, yes"),
    ("sine-figure-1 --jobs 1_0", "--jobs is '1_0'; write a whole number"),
    ("sine-figure-1 --jobs x", "--jobs is 'x'; write a whole number"),
    ("sine-figure-1 --device gpu", "--device is 'gpu'; it can be cpu, cuda"),
    ("sine-figure-1 --seeds 0;1", "--seeds is '0;1'; write whole numbers"),
    ("sine-figure-1 --budget ", "--budget is ''; sine-figure-1 has smoke, quick, paper"),
    ("sine-figure-1 --bugdet smoke", r"No such option: --bugdet \(Possible options: .*--budget.*\)"),
    ("sine-figure-1 extra", "Got unexpected extra argument.*extra"),
    ("", "there is no experiment ''; choose one of"),
    ("../sine-figure-1", "there is no experiment '../sine-figure-1'; choose one of"),
    ("sine-figure-1 --dry-run --budget smok", "did you mean 'smoke'?"),
    ("sine-figure-1 --dry-run --seeds 0,0", "repeat themselves"),
    ("table2 --seeds -1", "seed is -1; seeds are whole numbers"),
    (
        "table2 --budget smoke --omniglot nowhere",
        "the Omniglot folder nowhere .*is not there; name",
    ),
    ("table2 --budget smoke --omniglot .", "holds neither images_background.zip nor a folder"),
    ("table1 --budget smoke --miniimagenet nowhere", "the Mini-ImageNet folder nowhere is not there"),
    ("sine-figure-1 --budget smoke --scheduler tcp://x:1 --threads 2", "leave out --jobs and --threads"),
    ("sine-figure-1 --budget smoke --scheduler tcp://x:1 --jobs 2", "leave out --jobs and --threads"),
    ("sine-figure-1 --budget smoke --scheduler nonsense", "no Dask scheduler answers at 'nonsense'"),
    ("sine-figure-1 --budget smoke --scheduler tcp://", "no Dask scheduler answers at 'tcp://'"),
]
OTHERS = [
    ("statu", "No such command 'statu'. Did you mean 'status'?"),
    ("status --result x", r"No such option: --result \(Possible options: --results\)"),
    ("status --results ", "--results is empty"),
    ("clean --results ", "--results is empty"),
    ("train --algorithm", "Option '--algorithm' requires an argument; see --help"),
    ("clean --yes --yess", "No such option: --yess"),
    ("run", "Missing argument 'name'"),
    ("--version", "No such option: --version"),
    ("list everything", "Got unexpected extra argument.*everything"),
]


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["companion", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0), capsys.readouterr()


def test_without_a_command_there_is_help_and_no_complaint(monkeypatch, capsys):
    _, printed = call(monkeypatch, capsys)
    assert "Usage:" in printed.out + printed.err
    assert "companion: " not in printed.err


@pytest.mark.parametrize(
    ("command", "message"),
    [(f"train {options}", m) for options, m in TRAIN]
    + [(f"run {options}", m) for options, m in RUN]
    + OTHERS,
)
def test_bad_input_is_refused_in_one_line_that_names_the_option(
    monkeypatch, capsys, tmp_path, command, message
):
    takes_place = " " in command and command.startswith(("train", "run")) and "--results" not in command
    takes_place &= command != "train --algorithm"
    place = ["--results", str(tmp_path / "r")] if takes_place else []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METALIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("companion.running.workers.CONNECT_SECONDS", 1)
    monkeypatch.setattr("companion.__main__.cores", lambda: 8)  # what is refused does not hang on the machine
    monkeypatch.setattr("torch.set_num_threads", lambda threads: None)  # nor do later tests on what was asked
    for variable in ("METALIB_OMNIGLOT", "METALIB_MINIIMAGENET"):
        monkeypatch.setenv(variable, "")
    Path("file").touch()
    Path("loop").symlink_to("loop")
    code, printed = call(monkeypatch, capsys, *command.split(" "), *place)
    (complaint,) = printed.err.strip().splitlines()
    assert code == 2
    assert re.search(rf"^companion: .*{message}", complaint), complaint
    assert not list(tmp_path.glob("r/*")), "no folder is left of what was refused"
    assert not list(tmp_path.glob("**/provenance.json"))
    assert not list(tmp_path.glob("**/*.npz"))


def test_help_names_every_choice_and_option(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    _, printed = call(monkeypatch, capsys, "train", "--help")
    shown = re.sub(r"\x1b\[[\d;]*m", "", printed.out)  # services that run tests may ask for colors
    options = [f"--{name.replace('_', '-')}" for name in inspect.signature(train).parameters]
    choices = [*ALGORITHMS, *OPTIMIZERS, *OUTER_OPTIMIZERS, *ACTIVATIONS]
    assert [expected for expected in (*options, *choices) if expected not in shown] == []


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
