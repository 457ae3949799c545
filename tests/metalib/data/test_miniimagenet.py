"""Mini-ImageNet read from generated images in every layout, and the complete copy, where there is one."""

import csv
import os
import shutil
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metalib.data import miniimagenet_classes
from metalib.data.miniimagenet import _all_classes, miniimagenet
from metalib.data.miniimagenet_classes import known_classes
from metalib.errors import InputError, StoreError
from metalib.tasks.fewshot import FewShot

CLASSES = {"train": 6, "val": 2, "test": 3}
PER_CLASS = 4
REAL = os.environ.get("METALIB_MINIIMAGENET", "")
"""The reader's own copy: the tests of made-up ones hide the variable."""
anything = partial(miniimagenet, complete=False)


def picture(path: Path, color: int) -> None:
    """One color per image, so that the image can be told from the pixels; PNG keeps it exact."""
    Image.new("RGB", (84, 84), (color, 2 * color, 7)).save(path)


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
    from_folders, from_tables = anything(folder), anything(tables)
    assert (from_folders.images == from_tables.images).all()
    assert from_folders.images.shape == (11, PER_CLASS, 84, 84, 3)
    assert list(from_folders.images[:, :, 0, 0, 0].ravel()) == list(range(1, 45))
    split = from_folders.split(seed=5)
    assert [list(split.train), list(split.test)] == [[0, 1, 2, 3, 4, 5], [8, 9, 10]]
    assert list(anything(folder, test="val").split(seed=5).test) == [6, 7]


def test_pixels_range_from_0_to_1_and_the_network_takes_them(folder):
    family = FewShot(anything(folder), ways=5, shots=2, batch=5)
    sampled = family.sample(seed=0, block=0, tasks=1, steps=1)
    loss = family.loss({name: torch.from_numpy(array[0, :, 0]) for name, array in sampled.items()})
    assert loss.inputs.shape == (1, 5, 84, 84, 3)
    assert float(loss.inputs[..., 2].max()) == pytest.approx(7 / 255)
    assert loss(family.initialize(0)).shape == (1,)


def test_images_of_another_size_are_resized(folder):
    """By nearest neighbor, as in the authors' code."""
    drawn = np.random.default_rng(0).integers(0, 255, (168, 168, 3), np.uint8)
    Image.fromarray(drawn).save(folder / "train" / "n50" / "0.png")
    found = anything(folder).images
    assert found.shape[2:] == (84, 84, 3)
    assert (found[0, 0] == drawn[1::2, 1::2]).all()


def test_a_changed_copy_is_read_again(folder):
    before = anything(folder).digest
    path = folder / "train" / "n50" / "0.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (84, 84, 3), np.uint8)).save(path)
    assert anything(folder).digest != before


def test_other_classes_than_those_for_the_test_or_validation_are_refused(folder):
    with pytest.raises(InputError, match="test is 'tset'; choose test or val"):
        anything(folder, test="tset")


def test_the_variable_names_the_copy(folder, monkeypatch):
    with pytest.raises(InputError, match="name a copy by METALIB_MINIIMAGENET"):
        anything()
    monkeypatch.setenv("METALIB_MINIIMAGENET", str(folder))
    assert len(anything().images) == 11


def test_an_incomplete_copy_is_a_clear_error(folder, tables):
    (folder / "test" / "n41" / "2.png").unlink()
    with pytest.raises(StoreError, match="class n41 has 3 images, but class n50 has 4"):
        anything(folder)
    next((tables / "images").iterdir()).unlink()
    with pytest.raises(StoreError, match=r"is missing \(1 files in all\)"):
        anything(tables)
    (tables / "val.csv").unlink()
    with pytest.raises(InputError, match=r"neither a folder val/ nor val.csv"):
        anything(tables)


def test_a_damaged_image_is_a_clear_error_and_nothing_is_cached(folder, tmp_path):
    path = folder / "val" / "n30" / "1.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:60])
    with pytest.raises(StoreError, match=r"1.png is damaged"):
        anything(folder)
    assert not list((tmp_path / "cache").glob("*.npz"))
    path.write_bytes(whole)
    assert len(anything(folder).images) == 11


def test_a_table_without_the_columns_is_a_clear_error(tables):
    (tables / "train.csv").write_text("file,class\na.png,n1\n")
    with pytest.raises(InputError, match="expected filename and label"):
        anything(tables)


@pytest.fixture
def copy(tmp_path, monkeypatch, folder):
    """A made-up copy that is complete, since the table and the hash are made to say so, and its outer folders
    are no class split: as in the public one, some images of every class lie in each."""
    table = {}
    for part, classes in CLASSES.items():
        for path in sorted((folder / part).iterdir())[:classes]:
            label = f"n{len(table):08d}"
            for i, file in enumerate(sorted(path.iterdir())):
                target = tmp_path / "clone" / ("train", "test")[i % 2] / label / f"{label}{i}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
            table[label] = (part, "")
    clone = tmp_path / "clone"
    monkeypatch.setattr(miniimagenet_classes, "PER_CLASS", PER_CLASS)
    monkeypatch.setattr(miniimagenet_classes, "known_classes", lambda: table)
    total, digests = content(clone, table)
    monkeypatch.setattr(miniimagenet_classes, "CONTENT_SHA256", total)
    table |= {label: (part, digests[label]) for label, (part, _) in table.items()}
    return clone


def content(clone, table):
    """The hash as the data page words it, written out: over all files, and over those of every class."""
    texts = {}
    for label, (part, _) in table.items():
        files = sorted(clone.glob(f"*/{label}/*"), key=lambda file: file.name)
        texts[label] = b"".join(
            f"{part}/{label}/{file.name}".encode() + sha256(file.read_bytes()).digest() for file in files
        )
    return sha256(b"".join(texts.values())).hexdigest(), {
        k: sha256(v).hexdigest()[:16] for k, v in texts.items()
    }


def test_a_complete_copy_is_read_whatever_its_outer_folders_and_then_not_needed_again(copy, folder):
    pool = miniimagenet(copy)
    assert (pool.images == anything(folder).images).all()
    assert [list(part) for part in vars(pool.split(seed=0)).values()] == [[0, 1, 2, 3, 4, 5], [8, 9, 10]]
    shutil.rmtree(copy)
    assert miniimagenet() == pool


def test_validation_classes_are_neither_trained_nor_tested_on(copy):
    split, validation = (miniimagenet(copy, test=test).split(seed=0) for test in ("test", "val"))
    assert list(validation.test) == [6, 7]
    assert not {6, 7} & {*split.train, *split.test, *validation.train}


def remove_class(first, second):
    shutil.rmtree(first.parent)
    shutil.rmtree(second.parent)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (remove_class, r"train/n00000001 holds 0 images instead of 4 \(1 classes differ\)"),
        (lambda one, _: one.unlink(), "train/n00000001 holds 3 images instead of 4"),
        (lambda one, _: picture(one, 99), r"train/n00000001 holds other images or names \(1 "),
        (lambda one, _: one.rename(one.with_name("a.png")), "train/n00000001 holds other images or names"),
    ],
    ids=["class", "image", "pixels", "name"],
)
def test_what_a_copy_lacks_or_has_changed_is_named_in_one_line_with_a_source(copy, harm, message, tmp_path):
    harm(*(copy / outer / "n00000001" / f"n00000001{i}.png" for i, outer in enumerate(("train", "test"))))
    with pytest.raises(StoreError, match=message) as error:
        miniimagenet(copy)
    assert str(error.value).endswith("Deo0330/split_minidataset on GitHub")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "cache").glob("*.npz")), "nothing is kept of it"


def test_classes_go_by_their_wordnet_ids(folder, copy):
    with pytest.raises(
        StoreError, match=r"train/n00000000 holds 0 images instead of 4 \(22 classes differ\)"
    ):
        miniimagenet(folder)
    for part in CLASSES:
        (folder / part / "unheard-of").mkdir()
    shutil.copytree(copy, folder, dirs_exist_ok=True)
    assert len(miniimagenet(folder).images) == 11, "what is not named by a WordNet ID is left alone"


def test_the_table_has_the_classes_of_ravi_and_larochelle():
    parts = [part for part, _ in known_classes().values()]
    assert [parts.count(part) for part in CLASSES] == [64, 16, 20]
    assert next(iter(known_classes())) == "n01532829"
    assert len({digest for _, digest in known_classes().values()}) == 100


@pytest.mark.skipif(not REAL, reason="METALIB_MINIIMAGENET names no copy")
def test_the_complete_copy_is_the_one_whose_hash_is_published():
    miniimagenet_classes.require_complete(Path(REAL), _all_classes(Path(REAL)))
    pool = miniimagenet(REAL)
    assert pool.images.shape == (100, 600, 84, 84, 3)
    assert [len(part) for part in vars(pool.split(seed=0)).values()] == [64, 20]
    assert pool.digest == "5e68f5cd64bde472", "decoded pixels, which stored results name"
