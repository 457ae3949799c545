"""Results: whole, the right ones, or refused."""

import json

import numpy as np
import pandas as pd
import pytest

from companion.results import Result, load_result, save_result
from metalib import store
from metalib.errors import StoreError

CONFIG = {"k": 5, "alpha": 0.02}


def example() -> Result:
    table = pd.DataFrame({"seed": [0, 1], "mse": [0.1, 1 / 3]})
    return Result({"scores": table}, {"phi": np.arange(6.0).reshape(2, 3)}, {"config": CONFIG})


def test_a_result_comes_back_as_it_was_saved(tmp_path):
    save_result(tmp_path / "r", example())
    loaded = load_result(tmp_path / "r", CONFIG)
    pd.testing.assert_frame_equal(loaded.tables["scores"], example().tables["scores"], check_exact=True)
    assert np.array_equal(loaded.arrays["phi"], example().arrays["phi"])
    assert loaded.provenance == {"config": CONFIG}


def test_saving_again_replaces_the_whole_result(tmp_path):
    save_result(tmp_path / "r", example())
    save_result(tmp_path / "r", Result({"other": pd.DataFrame({"x": [1]})}, {}, {"config": CONFIG}))
    assert set(load_result(tmp_path / "r").tables) == {"other"}
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize("name", ["scores.csv", "arrays.npz"])
def test_a_damaged_file_is_named_and_refused(tmp_path, name):
    save_result(tmp_path / "r", example())
    path = tmp_path / "r" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StoreError, match=rf"{name} is damaged.*delete .* to compute it again"):
        load_result(tmp_path / "r")


def test_a_missing_file_is_named(tmp_path):
    save_result(tmp_path / "r", example())
    (tmp_path / "r" / "scores.csv").unlink()
    with pytest.raises(StoreError, match=r"scores.csv is missing"):
        load_result(tmp_path / "r")


def test_a_result_of_another_configuration_is_refused(tmp_path):
    save_result(tmp_path / "r", example())
    with pytest.raises(StoreError, match="another configuration"):
        load_result(tmp_path / "r", {"k": 6, "alpha": 0.02})


def test_a_missing_result_says_to_run_the_experiment(tmp_path):
    with pytest.raises(StoreError, match=r"there is no result in .*; run the experiment first"):
        load_result(tmp_path / "nothing")


def test_a_truncated_provenance_is_refused(tmp_path):
    save_result(tmp_path / "r", example())
    path = tmp_path / "r" / "provenance.json"
    path.write_text(path.read_text()[:20])
    with pytest.raises(StoreError, match=r"provenance.json is damaged"):
        load_result(tmp_path / "r")


def test_an_old_result_comes_back_if_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    save_result(tmp_path / "r", example())

    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(store.Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_result(tmp_path / "r", Result({"other": pd.DataFrame({"x": [1]})}))
    monkeypatch.undo()
    assert set(load_result(tmp_path / "r", CONFIG).tables) == {"scores"}
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_nothing_stored_is_a_pickle(tmp_path):
    save_result(tmp_path / "r", example())
    with np.load(tmp_path / "r" / "arrays.npz", allow_pickle=False) as arrays:
        assert arrays["phi"].dtype != object
    json.loads((tmp_path / "r" / "provenance.json").read_text())
