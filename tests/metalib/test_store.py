"""Arrays with a header: whole, the right ones, or refused."""

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest

from metalib import store
from metalib.errors import StoreError
from metalib.store import load_arrays, save_arrays


def test_arrays_come_back_bit_for_bit_with_their_header(tmp_path):
    arrays = {"phi/w": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)}
    save_arrays(tmp_path / "c.npz", arrays, {"iteration": 7})
    loaded, header = load_arrays(tmp_path / "c.npz")
    assert loaded["phi/w"].tobytes() == arrays["phi/w"].tobytes()
    assert header == {"iteration": 7}


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "c.npz").write_bytes(content)
    with pytest.raises(StoreError, match=r"c.npz is damaged or is not a file of metalib"):
        load_arrays(tmp_path / "c.npz")


def test_a_full_disk_is_one_clear_error_and_leaves_the_old_file(tmp_path, monkeypatch):
    save_arrays(tmp_path / "c.npz", {"x": np.ones(3)}, {"iteration": 1})

    def full(*_arguments, **_keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.np, "savez", full)
    with pytest.raises(StoreError, match=r"cannot write .*c.npz: No space left on device; free some space"):
        save_arrays(tmp_path / "c.npz", {"x": np.zeros(3)}, {"iteration": 2})
    monkeypatch.undo()
    assert load_arrays(tmp_path / "c.npz")[1] == {"iteration": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]


def test_a_file_never_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "table.csv").write_text("precious")
    with pytest.raises(StoreError, match=r"results is a folder where a file belongs; move it away"):
        save_arrays(tmp_path / "results", {"x": np.ones(3)}, {})
    assert (tmp_path / "results" / "table.csv").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_an_interruption_right_after_the_move_is_told_as_one_and_what_is_new_stays(tmp_path, monkeypatch):
    target, made, move = tmp_path / "result", tmp_path / "made", Path.replace
    for folder, name in ((target, "old"), (made, "new")):
        folder.mkdir()
        (folder / name).touch()

    def move_and_interrupt(path, to):
        move(path, to)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", move_and_interrupt)
    with pytest.raises(KeyboardInterrupt), store.written_beside(target) as new:
        shutil.copytree(made, new)
    assert [path.name for path in target.iterdir()] == ["new"]
