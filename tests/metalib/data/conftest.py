"""A small Omniglot in a folder."""

import shutil
from pathlib import Path

import pytest

from metalib.data import omniglot as module
from tests.metalib.data.small_omniglot import ALPHABETS, content_hash, drawing


@pytest.fixture(scope="session")
def original(tmp_path_factory) -> Path:
    """A small Omniglot: two folders of five characters by 20 drawers."""
    folder = tmp_path_factory.mktemp("omniglot")
    number = 0
    for part, alphabets in ALPHABETS.items():
        for alphabet, characters in alphabets.items():
            for c in range(characters):
                character = folder / part / alphabet / f"character{c + 1:02}"
                character.mkdir(parents=True)
                for drawer in range(20):
                    number += 1
                    (character / f"{number:04}_{drawer + 1:02}.png").write_bytes(drawing(number))
    return folder


@pytest.fixture
def folder(original, tmp_path, monkeypatch) -> Path:
    """A copy of it to damage, known to the loader by its content, and an empty cache."""
    copy = tmp_path / "source"
    shutil.copytree(original, copy)
    monkeypatch.setattr(module, "CONTENT_SHA256", content_hash(copy))
    monkeypatch.setattr(module, "TRAIN_CHARACTERS", 4)
    monkeypatch.setenv("METALIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("METALIB_OMNIGLOT", raising=False)
    return copy
