"""Mini-ImageNet read from generated images in both layouts."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metalib.data.miniimagenet import miniimagenet
from metalib.errors import InputError, StoreError
from metalib.tasks.fewshot import FewShot

CLASSES = {"train": 6, "val": 2, "test": 3}
PER_CLASS = 4


def picture(path: Path, color: int, size: int = 84) -> None:
    """One color per image, so that the image can be told from the pixels; PNG keeps it exact."""
    Image.new("RGB", (size, size), (color, 2 * color, 7)).save(path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("METALIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("METALIB_MINIIMAGENET", raising=False)
    number = 0
    for part, classes in CLASSES.items():
        for c in range(classes):
            label = tmp_path / "folders" / part / f"n{len(part)}{c}"
            label.mkdir(parents=True)
            for i in range(PER_CLASS):
                number += 1
                picture(label / f"{i}.png", number)
    return tmp_path / "folders"


@pytest.fixture
def tables(folder, tmp_path):
    """The same images in the other layout."""
    copy = tmp_path / "tables"
    (copy / "images").mkdir(parents=True)
    for part in CLASSES:
        with (copy / f"{part}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["filename", "label"])
            for image in sorted((folder / part).rglob("*.png"), reverse=True):
                name = f"{image.parent.name}-{image.name}"
                (copy / "images" / name).write_bytes(image.read_bytes())
                rows.writerow([name, image.parent.name])
    return copy


def test_both_layouts_give_the_same_images_and_splits(folder, tables):
    from_folders, from_tables = miniimagenet(folder), miniimagenet(tables)
    assert (from_folders.images == from_tables.images).all()
    assert from_folders.images.shape == (11, PER_CLASS, 84, 84, 3)
    assert list(from_folders.images[:, :, 0, 0, 0].ravel()) == list(range(1, 45))
    split = from_folders.split(seed=5)
    assert [list(split.train), list(split.test)] == [[0, 1, 2, 3, 4, 5], [8, 9, 10]]
    assert list(miniimagenet(folder, test="val").split(seed=5).test) == [6, 7]


def test_pixels_range_from_0_to_1_and_the_network_takes_them(folder):
    family = FewShot(miniimagenet(folder), ways=5, shots=2, batch=5)
    sampled = family.sample(seed=0, block=0, tasks=1, steps=1)
    loss = family.loss({name: torch.from_numpy(array[0, :, 0]) for name, array in sampled.items()})
    assert loss.inputs.shape == (1, 5, 84, 84, 3)
    assert float(loss.inputs[..., 2].max()) == pytest.approx(7 / 255)
    assert loss(family.initialize(0)).shape == (1,)


def test_images_of_another_size_are_resized(folder):
    path = folder / "train" / "n50" / "0.png"
    picture(path, 1, size=120)
    assert miniimagenet(folder).images.shape[2:] == (84, 84, 3)


def test_a_changed_copy_is_read_again(folder):
    before = miniimagenet(folder).digest
    path = folder / "train" / "n50" / "0.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (84, 84, 3), np.uint8)).save(path)
    assert miniimagenet(folder).digest != before


def test_the_variable_names_the_copy(folder, monkeypatch):
    with pytest.raises(InputError, match="name your copy by METALIB_MINIIMAGENET"):
        miniimagenet()
    monkeypatch.setenv("METALIB_MINIIMAGENET", str(folder))
    assert len(miniimagenet().images) == 11


def test_an_incomplete_copy_is_a_clear_error(folder, tables):
    (folder / "test" / "n41" / "2.png").unlink()
    with pytest.raises(StoreError, match="class n41 has 3 images, but class n50 has 4"):
        miniimagenet(folder)
    next((tables / "images").iterdir()).unlink()
    with pytest.raises(StoreError, match=r"is missing \(1 files in all\)"):
        miniimagenet(tables)
    (tables / "val.csv").unlink()
    with pytest.raises(InputError, match=r"neither a folder val/ nor val.csv"):
        miniimagenet(tables)


def test_a_damaged_image_is_a_clear_error_and_nothing_is_cached(folder, tmp_path):
    path = folder / "val" / "n30" / "1.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:60])
    with pytest.raises(StoreError, match=r"1.png is damaged"):
        miniimagenet(folder)
    assert not list((tmp_path / "cache").glob("*.npz"))
    path.write_bytes(whole)
    assert len(miniimagenet(folder).images) == 11


def test_a_table_without_the_columns_is_a_clear_error(tables):
    (tables / "train.csv").write_text("file,class\na.png,n1\n")
    with pytest.raises(InputError, match="expected filename and label"):
        miniimagenet(tables)
