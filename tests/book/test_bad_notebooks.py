"""`make notebook` with what is no notebook, or with parameters that do not fit: one line, and no file."""

import importlib.util
import sys

import nbformat
import pytest

from tests.book.sources import ROOT

SINE = ROOT / "notebooks" / "sine.ipynb"
HEAD = b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}'


@pytest.fixture(scope="module")
def notebooks():
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("notebooks_script", ROOT / "scripts" / "notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(notebooks, monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["notebooks.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        notebooks.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    return line


FILES = [
    ("empty", b"", "is no notebook"),
    ("a text", b"# a page of text\n", "is no notebook"),
    ("not UTF-8", b"\xff\xfe\xfa", "is no notebook"),
    ("a list", b"[]", "is no notebook"),
    ("a number", b"3", "is no notebook"),
    ("other JSON", b'{"cells": 3}', "is no notebook"),
    ("no cells", HEAD + b"}", "is no notebook"),
    ("a strange cell", HEAD + b', "cells": [{}]}', "is no notebook"),
    ("deep", b"[" * 100_000, "is no notebook"),
    ("cut off", SINE.read_bytes()[:5_000], "is no notebook"),
    ("of the future", HEAD.replace(b"4", b"9") + b', "cells": []}', "is no notebook"),
    ("without a kernel", HEAD + b', "cells": []}', "does not say which kernel runs it"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_a_file_that_is_no_notebook_is_refused_in_one_line(
    notebooks, monkeypatch, capsys, tmp_path, content, message
):
    path = tmp_path / "x.ipynb"
    path.write_bytes(content)
    assert message in call(
        notebooks, monkeypatch, capsys, "run", path, "-p", "seed", "3", "--into", tmp_path / "r"
    )
    assert not (tmp_path / "r").exists()


PARAMETERS = [
    ("seed", "abc", "seed is 'abc'; it must be a whole number, such as 0"),
    ("seed", "1.5", "seed is '1.5'; it must be a whole number"),
    ("seed", "True", "seed is 'True'; it must be a whole number"),
    ("seed", "None", "seed is 'None'; it must be a whole number"),
    ("seed", "(1, 2)", "seed is '(1, 2)'; it must be a whole number"),
    ("seed", "[", "seed is '['; it must be a whole number"),
    ("seed", "", "seed is ''; it must be a whole number"),
    ("iterations", "'many'", "iterations is \"'many'\"; it must be a whole number, such as 30_000"),
    ("sede", "3", "has no parameter sede; it has iterations, "),
    ("", "3", "has no parameter ; it has iterations, "),
]


@pytest.mark.parametrize(("name", "value", "message"), PARAMETERS)
def test_a_parameter_that_does_not_fit_is_refused_in_one_line(
    notebooks, monkeypatch, capsys, tmp_path, name, value, message
):
    line = call(notebooks, monkeypatch, capsys, "run", SINE, "-p", name, value, "--into", tmp_path / "r")
    assert message in line
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("default", "value", "expected"),
    [
        ("0.02", "1", 1),
        ("0.02", "1e-3", 1e-3),
        ("0.02", "x", None),
        ("0.02", "False", None),
        ("(2, 3)", "(1, 5)", [1, 5]),
        ("(2, 3)", "()", []),
        ("(2, 3)", "5", None),
        ("(2, 3)", "('a',)", None),
        ("(1e-3, 2e-5)", "(1, 0.5)", [1, 0.5]),
        ("False", "True", True),
        ("False", "1", None),
        ("'cpu'", "cuda", "cuda"),
        ("'runs'", "2026", "2026"),
        ("None", "anything", "anything"),
    ],
)
def test_a_value_is_of_the_kind_of_its_default(notebooks, default, value, expected):
    """Or refused, where nothing is expected."""
    if expected is not None:
        assert notebooks.fitting("x", value, default) == expected
        return
    with pytest.raises(SystemExit) as stopped:
        notebooks.fitting("x", value, default)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.ipynb"], "there is no notebook nowhere.ipynb"),
        (["run", ROOT], "there is no notebook"),
        (["run", SINE, "--into", ROOT / "README.md"], "is a file; name a folder for the executed notebook"),
        (["execute", SINE, "nowhere.ipynb"], "there is no notebook nowhere.ipynb"),
        (["execute", ROOT / "README.md"], "is no notebook"),
    ],
)
def test_a_notebook_that_is_not_there_is_named(notebooks, monkeypatch, capsys, arguments, message):
    assert message in call(notebooks, monkeypatch, capsys, *arguments)


def test_a_cell_that_fails_leaves_the_notebook_as_it_was(notebooks, monkeypatch, capsys, tmp_path):
    cell = nbformat.v4.new_code_cell("from metalib.errors import InputError\nraise InputError('k is 0')")
    path = tmp_path / "x.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=notebooks.METADATA), path)
    before = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    line = call(notebooks, monkeypatch, capsys, "execute", path)
    assert "failed in cell 1: k is 0; as far as it came it is in runs/failed-x.ipynb" in line
    assert path.read_bytes() == before
    assert (tmp_path / "runs" / "failed-x.ipynb").exists()
