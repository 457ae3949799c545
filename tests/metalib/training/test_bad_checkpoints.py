"""Checkpoints that no training can have left: each refused in one line, before anything is believed."""

import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metalib import store
from metalib.errors import StoreError
from metalib.tasks.family import BLOCK
from metalib.tasks.sine import Sine
from metalib.training import TrainingConfig, train

CONFIG = TrainingConfig(iterations=2 * BLOCK + 1, k=1, inner="adam", outer="adam")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The bytes of a checkpoint that is whole."""
    path = tmp_path_factory.mktemp("whole") / "run.npz"
    train(Sine(batch=1), [CONFIG], checkpoint=path)
    return path.read_bytes()


def resume(path, **keywords):
    return train(Sine(batch=1), [CONFIG], checkpoint=path, **keywords)


HEADERS = [
    ({"iteration": 10**9}, "iteration is 1000000000, which is not the end of a block of 100 of these 201"),
    ({"iteration": 202}, "iteration is 202"),
    ({"iteration": 150}, "iteration is 150"),
    ({"iteration": 0}, "iteration is 0"),
    ({"iteration": -100}, "iteration is -100"),
    ({"iteration": True}, "iteration is True"),
    ({"iteration": 100.0}, "iteration is 100.0"),
    ({"iteration": "100"}, "iteration is '100'"),
    ({"iteration": None}, "iteration is None"),
    ({"iteration": 100}, "numbers is float64 of shape (3, 1, 2), not float64 of shape (1, 1, 2)"),
    ({"seconds": -1.0}, "seconds is -1.0, which is no length of time"),
    ({"seconds": float("nan")}, "seconds is nan"),
    ({"seconds": float("inf")}, "seconds is inf"),
    ({"seconds": "1"}, "seconds is '1'"),
    ({"identity": "another"}, "the checkpoint of other runs"),
    ({"identity": None}, "the checkpoint of other runs"),
]


@pytest.mark.parametrize(("edit", "message"), HEADERS)
def test_a_header_that_no_training_writes_is_refused(finished, tmp_path, edit, message):
    path = tmp_path / "run.npz"
    path.write_bytes(finished)
    arrays, header = store.load_arrays(path)
    store.save_arrays(path, arrays, {**header, **edit})
    with pytest.raises(StoreError, match=re.escape(message)) as refused:
        resume(path)
    assert "\n" not in str(refused.value)


ARRAYS = [
    ("phi/weight_0", lambda a: a[:, :, :63], "phi/weight_0 is float32 of shape (1, 1, 63), not float32"),
    ("phi/weight_0", lambda a: np.repeat(a, 2, 0), "phi/weight_0 is float32 of shape (2, 1, 64)"),
    ("phi/weight_1", lambda a: a.astype(np.float64), "phi/weight_1 is float64 of shape"),
    ("phi/weight_1", lambda a: a.astype("U8"), "phi/weight_1 is <U8"),
    ("phi/bias_1", lambda a: np.full_like(a, np.nan), "phi/bias_1 is not finite"),
    ("phi/bias_1", lambda a: np.full_like(a, np.inf), "phi/bias_1 is not finite"),
    ("phi/bias_1", lambda _: None, "has no 'phi/bias_1'"),
    ("phi/bias_9", lambda _: np.zeros(1), "'phi/bias_9' belongs to no such run"),
    ("rubbish", lambda _: np.zeros(1), "'rubbish' belongs to no such run"),
    ("inner/steps", lambda _: np.array(-1), "an optimizer has counted less than 0 steps"),
    ("inner/steps", lambda _: np.array([1, 2]), "inner/steps is int64 of shape (2,)"),
    ("inner/steps", lambda _: np.array(1.5), "inner/steps is float64"),
    ("inner/steps", lambda _: None, "has no 'inner/steps'"),
    ("inner/second/weight_0", lambda _: None, "has no 'inner/second/weight_0'"),
    ("inner/third/weight_0", lambda _: np.zeros(1), "'inner/third/weight_0' belongs to no such run"),
    ("outer/first/bias_0", lambda a: a[0], "outer/first/bias_0 is float32 of shape (1, 64)"),
    ("numbers", lambda a: a[:1], "numbers is float64 of shape (1, 1, 2), not float64 of shape (3, 1, 2)"),
    ("numbers", lambda a: a.astype(np.float32), "numbers is float32"),
    ("numbers", lambda a: a[..., :1], "numbers is float64 of shape (3, 1, 1)"),
    ("numbers", lambda a: a * np.nan, "numbers is not finite"),
    ("numbers", lambda _: None, "has no 'numbers'"),
]


@pytest.mark.parametrize(("name", "edit", "message"), ARRAYS)
def test_arrays_that_these_runs_cannot_have_left_are_refused(finished, tmp_path, name, edit, message):
    path = tmp_path / "run.npz"
    path.write_bytes(finished)
    arrays, header = store.load_arrays(path)
    edited = edit(arrays.pop(name, None))
    store.save_arrays(path, arrays if edited is None else {**arrays, name: edited}, header)
    with pytest.raises(StoreError, match=re.escape(message)) as refused:
        resume(path)
    assert "\n" not in str(refused.value)


def written(path, **arrays):
    """Write arrays as they are, without the seal."""
    with path.open("wb") as file:
        np.savez(file, **arrays)


def no_mapping(path):
    store.save_arrays(path, {"x": np.ones(1)}, ["a", "list"])


FILES = [
    (lambda path: path.mkdir(), "is a folder where a file belongs"),
    (lambda path: path.write_bytes(b""), "its SHA-256 is missing"),
    (lambda path: path.write_bytes(b"sha256:" + b"0" * 64), "its content does not match its SHA-256"),
    (lambda path: written(path, __header__=np.array(json.dumps({}))), "an earlier version wrote it"),
    (no_mapping, "its header is no mapping"),
]


@pytest.mark.parametrize(("write", "message"), FILES)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, write, message):
    path = tmp_path / "run.npz"
    write(path)
    with pytest.raises(StoreError, match=re.escape(message)) as refused:
        resume(path)
    assert "\n" not in str(refused.value)


def test_pickled_objects_are_refused_without_advice_to_load_them(tmp_path):
    written(tmp_path / "run.npz", x=np.array([{"an": "object"}], dtype=object))
    with pytest.raises(StoreError, match="pickled objects, which are never read") as refused:
        store.load_arrays(tmp_path / "run.npz")
    assert "allow_pickle" not in str(refused.value)


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(place=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255))
def test_any_byte_that_changes_is_noticed(finished, tmp_path_factory, place, flipped):
    content = bytearray(finished)
    content[int(place * len(content))] ^= flipped
    refuse(tmp_path_factory, content)


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(place=st.floats(0, 1, exclude_max=True))
def test_any_truncation_is_noticed(finished, tmp_path_factory, place):
    refuse(tmp_path_factory, finished[: int(place * len(finished))])


def test_every_byte_of_the_seal_is_watched(finished, tmp_path_factory):
    for back in range(1, 100):
        content = bytearray(finished)
        content[-back] ^= 1
        refuse(tmp_path_factory, content)


def refuse(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "changed.npz"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"changed.npz is damaged or is not a file of metalib") as refused:
        store.load_arrays(path, sealed=True)
    assert "BytesIO" not in str(refused.value)


def test_where_divergence_is_a_finding_weights_that_are_not_finite_are_resumed(tmp_path):
    config = TrainingConfig(alpha=50.0, iterations=2 * BLOCK)
    first = train(Sine(), [config], checkpoint=tmp_path / "run.npz", on_divergence="record")
    again = train(Sine(), [config], checkpoint=tmp_path / "run.npz", on_divergence="record")
    assert not all(torch.isfinite(value).all() for value in first.phi.values())
    assert again.seconds == first.seconds, "it was read, not trained again"
