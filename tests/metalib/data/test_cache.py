"""What is computed once is computed once, by one process, and kept whole."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pooch
import pytest

from metalib.data.cache import cache_folder, cached
from metalib.errors import StoreError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("METALIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_arrays_are_built_once(cache):
    calls = []

    def build():
        calls.append(1)
        return {"a": np.arange(3)}

    assert (cached("a.npz", ("a",), build)["a"] == cached("a.npz", ("a",), build)["a"]).all()
    assert len(calls) == 1


def test_threads_that_come_together_build_once(cache):
    calls = []

    def build():
        calls.append(1)
        time.sleep(0.1)  # until the others have come
        return {"a": np.arange(100_000)}

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: cached("a.npz", ("a",), build)["a"].sum(), range(4)))
    assert len(calls) == 1
    assert len(set(results)) == 1


def test_an_interruption_while_building_leaves_nothing(cache):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached("a.npz", ("a",), interrupted)
    assert [p.name for p in cache.iterdir() if p.suffix != ".lock"] == []
    assert cached("a.npz", ("a",), lambda: {"a": np.ones(2)})["a"].sum() == 2


def test_what_a_killed_process_was_writing_is_removed_when_the_arrays_are_built(cache):
    for left in (".a.npz.1x2y", ".b.npz.1x2y"):
        (cache / left).mkdir(parents=True)
    cached("a.npz", ("a",), lambda: {"a": np.ones(2)})
    assert {path.name for path in cache.iterdir()} == {"a.npz", ".b.npz.1x2y"}, "the other may be at work"


def test_a_folder_that_cannot_be_made_is_a_clear_error(cache):
    cache.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="set METALIB_CACHE to a folder that can be written to"):
        cached("a.npz", ("a",), lambda: {"a": np.ones(2)})


def test_without_the_variable_the_cache_is_the_platforms(monkeypatch, tmp_path):
    monkeypatch.delenv("METALIB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == Path(pooch.os_cache("metalib"))
    if sys.platform == "linux":
        assert cache_folder() == tmp_path / "metalib"
