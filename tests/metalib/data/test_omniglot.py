"""Omniglot from archives and folders, whole and damaged."""

import io
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metalib.data.omniglot import omniglot, reduce
from metalib.errors import InputError, StoreError
from tests.metalib.data.small_omniglot import drawing, kept, pack


def test_nearest_neighbor_is_what_pillow_makes_of_a_one_bit_image():
    for number in range(3):
        image = Image.open(io.BytesIO(drawing(number)))
        assert image.mode == "1"
        expected = np.asarray(image.resize((28, 28)))
        assert (reduce(np.asarray(image).astype(np.uint8)) == expected).all()


def test_quarter_turns_are_those_of_pillow(folder):
    pool = omniglot(folder)
    classes, renditions = pool.images.shape[:2]
    assert pool.rotate_train
    for turn in range(4):
        for c, i in ((0, 0), (classes - 1, renditions - 1)):
            place = torch.tensor((turn * classes + c) * renditions + i)
            turned = Image.fromarray(pool.images[c, i, :, :, 0].astype(bool)).rotate(90 * turn)
            found = pool.gather(place)[..., 0]
            expected = np.asarray(turned).astype(np.float32)
            assert (found.numpy() == (1 - expected if pool.invert else expected)).all()


def test_archives_folders_and_the_cache_give_the_same_images(folder, tmp_path, monkeypatch):
    from_folders = omniglot(folder)
    assert kept(tmp_path) == ["omniglot-28.npz"]
    shutil.rmtree(tmp_path / "cache")
    archives = pack(folder, tmp_path / "archives")
    from_archives = omniglot(archives)
    monkeypatch.setenv("METALIB_OMNIGLOT", str(archives))
    shutil.rmtree(tmp_path / "cache")
    from_variable = omniglot()
    for path in archives.iterdir():
        path.unlink()
    from_cache = omniglot()
    assert from_folders.images.shape == (5, 20, 28, 28, 1)
    first = np.asarray(Image.open(io.BytesIO(drawing(1))).resize((28, 28)))
    assert (from_folders.images[0, 0, :, :, 0] == first).all()
    for pool in (from_archives, from_variable, from_cache):
        assert (pool.images == from_folders.images).all()
        assert pool.digest == from_folders.digest


def test_lake_split_follows_the_archives(folder):
    split = omniglot(folder, split="lake", rotate_train=False).split(seed=7)
    assert list(split.train) == [0, 1, 2]
    assert list(split.test) == [3, 4]
    with pytest.raises(InputError, match="choose one of pooled, lake, vinyals"):
        omniglot(folder, split="alphabet")


def test_each_split_has_its_own_border_and_only_the_pooled_one_is_the_seeds(folder):
    """Three of the five characters are of background alphabets; four are for training elsewhere."""
    vinyals, pooled = (
        omniglot(folder, split="vinyals", rotate_train=False),
        omniglot(folder, rotate_train=False),
    )
    assert [list(part) for part in (vinyals.split(7).train, vinyals.split(7).test)] == [[0, 1, 2, 3], [4]]
    assert {tuple(pooled.split(seed).test) for seed in range(20)} == {(0,), (1,), (2,), (3,), (4,)}


def test_what_the_reader_asks_for_reaches_the_pool(folder):
    turned = omniglot(folder, rotate_train=False, rotate_test=True, invert=True)
    assert (turned.rotate_train, turned.rotate_test, turned.invert) == (False, True, True)
    plain = omniglot(folder)
    assert (plain.rotate_train, plain.rotate_test, plain.invert) == (True, False, False)


def damage_archive(folder: Path) -> None:
    path = pack(folder, folder.parent / "archives") / "images_background.zip"
    content = bytearray(path.read_bytes())
    content[2000:2400] = bytes(400)
    path.write_bytes(content)


def truncate_archive(folder: Path) -> None:
    path = pack(folder, folder.parent / "archives") / "images_evaluation.zip"
    path.write_bytes(path.read_bytes()[:-3000])


def truncate_drawing(folder: Path) -> None:
    path = next((folder / "images_background" / "Greek" / "character01").iterdir())
    path.write_bytes(path.read_bytes()[:200])


def replace_drawing(folder: Path) -> None:
    path = next((folder / "images_background" / "Greek" / "character01").iterdir())
    path.write_bytes(drawing(99))


def resize_drawing(folder: Path) -> None:
    path = next((folder / "images_background" / "Greek" / "character01").iterdir())
    Image.open(path).resize((28, 28)).save(path)


def remove_drawer(folder: Path) -> None:
    sorted((folder / "images_background" / "Greek" / "character02").iterdir())[4].unlink()


def remove_part(folder: Path) -> None:
    shutil.rmtree(folder / "images_evaluation")


@pytest.mark.parametrize(
    ("harm", "error", "message"),
    [
        (damage_archive, StoreError, "images_background.zip is damaged"),
        (truncate_archive, StoreError, "images_evaluation.zip is damaged"),
        (truncate_drawing, StoreError, "images_background is damaged"),
        (replace_drawing, StoreError, "not those of Omniglot: their SHA-256"),
        (resize_drawing, StoreError, "has 28×28 pixels"),
        (remove_drawer, StoreError, "Greek/character02 holds 19 drawings instead of 20"),
        (remove_part, InputError, "neither images_evaluation.zip nor a folder images_evaluation"),
    ],
)
def test_a_damaged_copy_is_one_clear_error_and_the_next_attempt_works(
    original, folder, tmp_path, harm, error, message
):
    harm(folder)
    archives = tmp_path / "archives"
    with pytest.raises(error, match=message):
        omniglot(archives if archives.exists() else folder)
    assert kept(tmp_path) == []
    assert omniglot(original).images.shape[0] == 5


def test_a_missing_folder_is_a_clear_error(folder, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="nowhere is not there"):
        omniglot(tmp_path / "nowhere")
    monkeypatch.setenv("METALIB_OMNIGLOT", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="named by METALIB_OMNIGLOT"):
        omniglot()


def test_a_full_disk_is_a_clear_error_and_leaves_nothing_behind(folder, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot keep omniglot-28.npz .* free some space"):
            omniglot(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert kept(tmp_path) == []
    assert omniglot(folder).images.shape[0] == 5


def test_a_damaged_cache_is_made_again(folder, tmp_path):
    whole = omniglot(folder)
    path = tmp_path / "cache" / "omniglot-28.npz"
    path.write_bytes(path.read_bytes()[:700])
    assert (omniglot(folder).images == whole.images).all()
    assert path.stat().st_size > 700
