"""Mini-ImageNet with the classes of Ravi and Larochelle (2017), from a copy of one's own.

ImageNet's images may not be passed on, so nothing is downloaded. A copy is a folder in one of the two
layouts in common use:

    train/n01532829/….JPEG              one folder per class, in train/, val/ and test/
    train.csv, val.csv, test.csv        rows "filename,label", and images/ with the files
"""

from __future__ import annotations

import csv
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metalib.data.cache import Arrays, cached
from metalib.data.classes import ClassPool, Split
from metalib.errors import StoreError, require

if TYPE_CHECKING:
    from jaxtyping import UInt8

VARIABLE = "METALIB_MINIIMAGENET"
SIZE = 84
PARTS = ("train", "val", "test")
ENDINGS = (".jpeg", ".jpg", ".png")

Classes = dict[str, list[Path]]


def miniimagenet(source: Path | str | None = None, *, test: str = "test") -> ClassPool:
    """Return Mini-ImageNet: 64 training classes, 16 for validation, 20 for the test; 84×84 pixels, color.

    Images of another size are resized by nearest neighbor, as in the authors' code. They are kept in
    the cache once read: 1.3 GB for the 60,000 images.

    Args:
        source: the folder of the copy; without it, the one that METALIB_MINIIMAGENET names.
        test: the classes to test on, "test" or "val".

    Raises:
        InputError: if the folder is not there, or holds neither layout.
        StoreError: if an image is missing or damaged, a class has another number of images than the
            first, or the cache cannot be written. Nothing is half-cached.
    """
    require(test in ("test", "val"), f"test is {test!r}; choose test or val")
    name = str(source) if source is not None else os.environ.get(VARIABLE, "")
    require(
        Path(name).is_dir() if name else False,
        f"the Mini-ImageNet folder {name or '(none given)'} is not there; name your copy by {VARIABLE}",
    )
    classes = {part: _classes(Path(name), part) for part in PARTS}
    listed = [
        f"{path}:{path.stat().st_size}"
        for part in PARTS
        for paths in classes[part].values()
        for path in paths
    ]
    identity = hashlib.sha256("\n".join(listed).encode()).hexdigest()[:16]
    images = cached(f"miniimagenet-{identity}.npz", lambda: _read(classes))["images"]
    first = np.cumsum([0, *(len(classes[part]) for part in PARTS)])
    numbers = {part: np.arange(first[i], first[i + 1]) for i, part in enumerate(PARTS)}
    fixed = Split(numbers["train"], numbers[test])
    return ClassPool("Mini-ImageNet", images, maximum=255, fixed=fixed, rotate_train=False)


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
    found: Classes = {}
    with table.open(newline="") as file:
        rows = csv.DictReader(file)
        require(
            {"filename", "label"} <= set(rows.fieldnames or ()),
            f"{table} has columns {rows.fieldnames}; expected filename and label",
        )
        for row in rows:
            found.setdefault(row["label"], []).append(folder / row["filename"])
    missing = [file for files in found.values() for file in files if not file.is_file()]
    if missing:
        raise StoreError(f"{missing[0]} is missing ({len(missing)} files in all), though {table} lists it")
    return {label: sorted(found[label]) for label in sorted(found)}


def _read(classes: dict[str, Classes]) -> Arrays:
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
    return {"images": images}


def _image(file: Path) -> UInt8[np.ndarray, "84 84 3"]:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.NEAREST).convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise StoreError(f"{file} is damaged ({error}); delete it and get a fresh copy") from error
