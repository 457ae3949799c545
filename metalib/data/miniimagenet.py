"""Mini-ImageNet with the classes of Ravi and Larochelle (2017), from a copy of one's own.

ImageNet's images may not be passed on, so nothing is downloaded. A copy is a folder in one of three layouts:

    …/n01532829/….jpg                   folders named by WordNet ID, whatever the folders around them
    train/bird/….jpg                    one folder per class, in train/, val/ and test/
    train.csv, val.csv, test.csv        rows "filename,label", and images/ with the files

In the first, the published list of classes decides what is for training, validation and the test.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from metalib.data import miniimagenet_classes as wordnet
from metalib.data.cache import Arrays, cached
from metalib.data.classes import ClassPool, Split
from metalib.data.miniimagenet_classes import PARTS, Classes
from metalib.errors import InputError, StoreError, optional_module, require
from metalib.store import UNREADABLE

if TYPE_CHECKING:
    from jaxtyping import UInt8

VARIABLE = "METALIB_MINIIMAGENET"
SIZE = 84
ENDINGS = (".jpeg", ".jpg", ".png")
CACHE = f"miniimagenet-84-{wordnet.CONTENT_SHA256[:16]}.npz"


def miniimagenet(source: Path | str | None = None, *, test: str = "test", complete: bool = True) -> ClassPool:
    """Return Mini-ImageNet: 64 training classes, 16 for validation, 20 for the test; 84×84 pixels, color.

    Once checked, the 60,000 images are kept in the cache, 1.3 GB, and the copy is not read again.

    Args:
        source: the folder of the copy; without it, the one that METALIB_MINIIMAGENET names.
        test: the classes to test on, "test" or "val". Nothing is ever trained on either.
        complete: insist on the images whose hash is `miniimagenet_classes.CONTENT_SHA256`. If false, others
            will do; those of another size are resized by nearest neighbor, as in the authors' code.

    Raises:
        InputError: if `test` is neither, no copy is named or in the cache, or it is not there or laid out so.
        StoreError: if the copy is not the complete one, an image is missing or damaged, a class has another
            number of images than the first, or the cache cannot be written. Nothing is half-cached.
    """
    require(test in ("test", "val"), f"test is {test!r}; choose test or val")
    folder = Path(source if source is not None else os.environ.get(VARIABLE) or "(none given)")

    def read() -> Arrays:
        require(
            folder.is_dir(),
            f"the Mini-ImageNet folder {folder} is not there; name a copy by {VARIABLE} ({wordnet.SOURCE})",
        )
        classes = _all_classes(folder)
        if complete:
            wordnet.require_complete(folder, classes)
        return _read(classes)

    arrays = cached(CACHE, ("images", "classes"), read) if complete else read()
    stops = np.cumsum([0, *arrays["classes"]])
    numbers = {part: np.arange(*stops[i : i + 2]) for i, part in enumerate(PARTS)}
    fixed = Split(numbers["train"], numbers[test])
    return ClassPool("Mini-ImageNet", arrays["images"], maximum=255, fixed=fixed, rotate_train=False)


def _all_classes(folder: Path) -> dict[str, Classes]:
    """Return the image files of every class, by part."""
    return _by_wordnet_id(folder) or {part: _classes(folder, part) for part in PARTS}


def _by_wordnet_id(folder: Path) -> dict[str, Classes]:
    """Return the files below folders that are named by a known WordNet ID; nothing if there is none."""
    known, found = wordnet.known_classes(), dict[str, list[Path]]()
    for root, _, names in os.walk(folder):
        label = Path(root).name
        if label in known:
            files = [Path(root, name) for name in names if name.lower().endswith(ENDINGS)]
            found.setdefault(label, []).extend(files)
    classes: dict[str, Classes] = {part: {} for part in PARTS}
    for label in sorted(found):
        classes[known[label][0]][label] = sorted(found[label], key=lambda file: file.name)
    return classes if found else {}


def _classes(folder: Path, part: str) -> Classes:
    """Return the image files of every class of one part, in sorted order."""
    table = folder / f"{part}.csv"
    if (folder / part).is_dir():
        found = {
            path.name: sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS)
            for path in sorted((folder / part).iterdir())
            if path.is_dir()
        }
    else:
        require(
            table.is_file(),
            f"{folder} holds neither a folder {part}/ nor {part}.csv; name one with train, val and test",
        )
        found = _listed(table, folder / "images")
    require(len(found) >= 1, f"{folder} has no classes in {part}; get a complete copy of Mini-ImageNet")
    return found


def _listed(table: Path, folder: Path) -> Classes:
    try:
        rows = pd.read_csv(table, dtype=str, keep_default_na=False)[["filename", "label"]]
    except (ValueError, KeyError):
        raise InputError(f"{table} is no table with these columns; expected filename and label") from None
    except OSError as error:
        raise StoreError(f"{table} cannot be read: {error.strerror}") from error
    if outside := [name for name in rows.filename if not name or Path(name).name != name]:
        raise StoreError(f"{table} names {outside[0]!r}, which is no file of {folder}")
    found = {str(label): sorted(map(folder.joinpath, of)) for label, of in rows.groupby("label").filename}
    missing = [file for files in found.values() for file in files if not file.is_file()]
    if missing:
        raise StoreError(f"{missing[0]} is missing ({len(missing)} files in all), though {table} lists it")
    return found


def _read(classes: Mapping[str, Classes]) -> Arrays:
    named = [(label, files) for part in PARTS for label, files in classes[part].items()]
    per_class = len(named[0][1])
    for label, files in named:
        if len(files) != per_class or not files:
            raise StoreError(
                f"class {label} has {len(files)} images, but class {named[0][0]} has {per_class}; "
                "Mini-ImageNet has 600 of each: get a complete copy"
            )
    images = np.empty((len(named), per_class, SIZE, SIZE, 3), np.uint8)
    for i, (_, files) in enumerate(named):
        for j, file in enumerate(files):
            images[i, j] = _image(file)
    return {"images": images, "classes": np.array([len(classes[part]) for part in PARTS])}


def _image(file: Path) -> UInt8[np.ndarray, "84 84 3"]:
    Image = optional_module("PIL.Image", "data")
    try:
        with Image.open(file) as image:
            return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.NEAREST).convert("RGB"))
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        raise StoreError(f"{file} is damaged ({error}); delete it and get a fresh copy") from error
