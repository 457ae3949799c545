"""Results that are damaged, or that point elsewhere: each refused in one line."""

import hashlib
import json
import re
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.results import Result, load_result, save_result, sealed
from metalib.errors import StoreError

CONFIG = {"k": 5, "alpha": 0.02}


@pytest.fixture
def folder(tmp_path):
    """A result that is whole, and a table outside its folder."""
    table = pd.DataFrame({"seed": [0, 1], "mse": [0.1, 1 / 3]})
    save_result(tmp_path / "r", Result({"scores": table}, {"phi": np.arange(6.0)}, {"config": CONFIG}))
    (tmp_path / "outside.csv").write_text("x\n1\n")
    return tmp_path / "r"


def pickled(path):
    with path.open("wb") as file:
        np.savez(file, x=np.array([{"an": "object"}], dtype=object))


def bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("phi.npy", bytes(10**7))


def not_an_array(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("phi.npy", b"no array")


def believed(folder, name, content):
    """Write a file, and its right SHA-256 into the provenance."""
    path = folder / name
    content(path) if callable(content) else path.write_bytes(content)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edited(folder, lambda provenance: provenance["files"].update({name: digest}))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("scores.csv", b"", "scores.csv is no table (No columns to parse from file)"),
        ("scores.csv", b"\n\n", "scores.csv is no table"),
        ("scores.csv", b"name\n\xff\xfe\xfa\n", "scores.csv is no table ('utf-8' codec can't decode"),
        ("scores.csv", b"a,b\n1,2\n1,2,3,4\n", "scores.csv is no table"),
        ("scores.csv", b'a,b\n"1,2\n', "scores.csv is no table"),
        ("arrays.npz", b"", "it is no whole NPZ file"),
        ("arrays.npz", b"garbage", "it is no whole NPZ file"),
        ("arrays.npz", b"PK\x03\x04 cut off", "it is no whole NPZ file"),
        ("arrays.npz", b"\x93NUMPY\x01\x00", "it is no whole NPZ file"),
        ("arrays.npz", b"\x80\x04\x95", "it is no whole NPZ file"),
        ("arrays.npz", pickled, "it holds pickled objects, which are never read"),
        ("../outside.csv", b"x\n1\n", "'../outside.csv' is no file of this folder"),
        ("sub/../../outside.csv", None, "is no file of this folder"),
        (
            "scores.csv",
            b"seed,mae\n0,0.1\n",
            "has columns ['seed', 'mae'] instead of ['seed', 'mse']",
        ),
        ("scores.csv", b"mse,seed\n0.1,0\n", "has columns ['mse', 'seed'] instead of ['seed', 'mse']"),
        ("scores.csv", b"seed\n0\n", "has columns ['seed'] instead of ['seed', 'mse']"),
        ("scores.csv", b"seed,mse,mse\n0,1,2\n", "has columns ['seed', 'mse', 'mse.1'] instead of"),
        ("scores.csv", b"\xef\xbb\xbfx,mse\n0,1\n", "has columns ['x', 'mse'] instead of"),
        ("scores.csv", b"seed;mse\n0;1\n", "has columns ['seed;mse'] instead of"),
        ("other.csv", b"x\n1\n", "other.csv has columns ['x'] instead of None"),
        ("arrays.npz", bomb, "it unpacks to more than it holds"),
        ("arrays.npz", not_an_array, "arrays.npz is damaged"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_though_its_hash_is_right(folder, name, content, message):
    if content is None:
        edited(folder, lambda p: p["files"].update({name: "0"}))
    else:
        believed(folder, name, content)
    refuse(folder, message)


def edited(folder, edit):
    path = folder / "provenance.json"
    provenance = json.loads(path.read_text())
    del provenance["sha256"]
    edit(provenance)
    path.write_bytes(sealed(provenance))


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/etc/hostname", "..\\outside.csv", "C:outside.csv", "sub/scores.csv", "a\0b"],
)
def test_a_name_that_leads_out_of_the_folder_is_refused(folder, name):
    edited(folder, lambda provenance: provenance["files"].update({name: "0"}))
    refuse(folder, "is no file of this folder")


@pytest.mark.parametrize("name", ["scores.csv", "arrays.npz", "provenance.json"])
def test_a_folder_where_a_file_belongs_is_refused(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()
    refuse(folder, name)


def test_a_file_where_the_folder_belongs_is_refused(folder):
    shutil.rmtree(folder)
    folder.write_text("in the way")
    refuse(folder, "is a file where the folder of a result belongs")


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"3", b"null", b'"text"', b"{}", b'{"files": null}', b'{"files": 3}'),
        *(b'{"files": ["scores.csv"]}', b"\xff\xfe\x00", b"[" * 100_000),
    ],
)
def test_a_provenance_that_is_none_is_refused(folder, content):
    (folder / "provenance.json").write_bytes(content)
    refuse(folder, "provenance.json is damaged")


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(
    name=st.sampled_from(["scores.csv", "arrays.npz"]),
    place=st.floats(0, 1, exclude_max=True),
    flipped=st.integers(0, 255),
)
def test_any_byte_that_changes_and_any_truncation_is_noticed(whole, name, place, flipped):
    path = whole / name
    content = path.read_bytes()
    at = int(place * len(content))
    try:
        rest = content[at + 1 :] if flipped else b""
        path.write_bytes(content[:at] + bytes([content[at] ^ flipped] if flipped else []) + rest)
        refuse(whole, f"{name} is damaged: its SHA-256 is not the one in provenance.json")
    finally:
        path.write_bytes(content)


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(place=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255))
def test_any_byte_of_the_provenance_that_changes_is_noticed(whole, place, flipped):
    changed(whole, int(place * len((whole / "provenance.json").read_bytes())), flipped)


def changed(whole, at, flipped):
    path = whole / "provenance.json"
    content = path.read_bytes()
    try:
        path.write_bytes(content[:at] + bytes([content[at] ^ flipped]) + content[at + 1 :])
        refuse(whole, "provenance.json is damaged")
    finally:
        path.write_bytes(content)


def test_every_byte_of_the_seal_of_a_provenance_is_watched(whole):
    size = len((whole / "provenance.json").read_bytes())
    for at in range(size - 90, size):
        changed(whole, at, 1)


@pytest.mark.parametrize(
    "edit",
    [
        lambda p: p.pop("sha256"),
        lambda p: p.update(sha256="0" * 64),
        lambda p: p.update(sha256=None),
        lambda p: p.update(columns=3),
        lambda p: p["config"].update(alpha=0.03),
        lambda p: p.update(environment={"torch": "0"}),
        lambda p: p.update(note="believe me"),
    ],
)
def test_an_edit_of_the_provenance_that_leaves_its_seal_is_noticed(folder, edit):
    path = folder / "provenance.json"
    provenance = json.loads(path.read_text())
    edit(provenance)
    path.write_text(json.dumps(provenance, indent=1) + "\n")
    refuse(folder, "provenance.json is damaged")


def test_a_result_of_a_version_without_seals_is_read(folder):
    path = folder / "provenance.json"
    provenance = json.loads(path.read_text())
    path.write_text(json.dumps({name: provenance[name] for name in ("config", "files")}, indent=1))
    assert load_result(folder, CONFIG).provenance == {"config": CONFIG}


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(place=st.floats(0, 1, exclude_max=True))
def test_a_provenance_that_is_cut_off_is_noticed(whole, place):
    path = whole / "provenance.json"
    content = path.read_bytes().rstrip()
    try:
        path.write_bytes(content[: int(place * len(content))])
        refuse(whole, "provenance.json is damaged")
    finally:
        path.write_bytes(content)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "r"
    table = pd.DataFrame({"seed": [0, 1], "mse": [0.1, 1 / 3]})
    save_result(folder, Result({"scores": table}, {"phi": np.arange(6.0)}, {"config": CONFIG}))
    return folder


def refuse(folder, message):
    with pytest.raises(StoreError, match=re.escape(message)) as refused:
        load_result(folder)
    assert "\n" not in str(refused.value)
    assert "allow_pickle" not in str(refused.value)
