"""Omniglot (Lake, Salakhutdinov and Tenenbaum 2015): 1,623 characters, each drawn by 20 people.

The drawings come from the official archives, downloaded once, or from a copy named by an option or
by the environment variable METALIB_OMNIGLOT: a folder that holds the two archives or the two folders
in them. Either way their content is verified, reduced to 28×28 pixels, and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metalib.data.cache import Arrays, cache_folder, cached
from metalib.data.classes import ClassPool, Split
from metalib.errors import StoreError, optional_module, require
from metalib.store import UNREADABLE

if TYPE_CHECKING:
    from jaxtyping import UInt8

PARTS = ("images_background", "images_evaluation")
URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
MD5 = {
    "images_background.zip": "md5:68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation.zip": "md5:6b91aef0f799c5bb55b94e3f2daec811",
}
CONTENT_SHA256 = "d8bcd7703a7a3b48997443d0fe46827c855d8af49a038fb522a747d0604cae07"
"""Hash over the paths and pixels of all drawings, whatever they are packed in."""

VARIABLE = "METALIB_OMNIGLOT"
CACHE = "omniglot-28.npz"
DRAWERS = 20
ORIGINAL = 105
SIZE = 28
LARGEST = 100_000
TRAIN_CHARACTERS = 1200
SPLITS = ("pooled", "lake", "vinyals")


def omniglot(
    source: Path | str | None = None,
    *,
    split: str = "pooled",
    rotate_train: bool = True,
    rotate_test: bool = False,
    invert: bool = False,
) -> ClassPool:
    """Return Omniglot as the authors prepared it: 28×28 pixels, ink 0, paper 1.

    Args:
        source: a folder with the two archives, or with what is in them. Without it: the folder that
            METALIB_OMNIGLOT names, and if there is none, the official archives by download.
        split: "pooled" shuffles all characters by the run's seed into 1,200 for training and 423 for
            the test, as the authors' code does; "lake" trains on the background alphabets and tests
            on the evaluation alphabets; "vinyals" trains on the first 1,200 characters in the order
            of the archives, as Vinyals et al. (2016).
        rotate_train: every quarter turn of a training character is a class of its own.
        rotate_test: likewise for test characters; off in the authors' code, on in that of Finn et al. (2017).
        invert: ink 1, paper 0, as Finn et al. (2017) have it.

    Raises:
        InputError: if the split is unknown, or `source` is not there or does not hold Omniglot.
        StoreError: if the download fails, the drawings are damaged or not Omniglot's, or the cache
            cannot be written. Nothing is half-cached: the next attempt starts clean.
    """
    require(split in SPLITS, f"split is {split!r}; choose one of {', '.join(SPLITS)}")
    folder = _chosen_folder(source)
    names = ("pixels", "background")
    arrays = cached(CACHE, names, lambda: _convert(_download() if folder is None else folder))
    pixels = np.unpackbits(arrays["pixels"], axis=-1, count=SIZE * SIZE)
    images = pixels.reshape(-1, DRAWERS, SIZE, SIZE, 1)
    background = int(arrays["background"])
    first_test = {"pooled": None, "lake": background, "vinyals": TRAIN_CHARACTERS}[split]
    fixed = Split(np.arange(first_test), np.arange(first_test, len(images))) if first_test else None
    return ClassPool(
        "Omniglot",
        images,
        fixed=fixed,
        train_classes=TRAIN_CHARACTERS,
        rotate_train=rotate_train,
        rotate_test=rotate_test,
        invert=invert,
    )


def reduce(drawing: UInt8[np.ndarray, "105 105"]) -> UInt8[np.ndarray, "28 28"]:
    """Reduce a drawing to 28×28 by nearest neighbor: pixel i takes the original pixel ⌊(i + ½) · 105/28⌋.

    It is what Pillow's `resize((28, 28))` makes of a 1-bit image, and so what the authors' code did.
    """
    nearest = ((np.arange(SIZE) + 0.5) * ORIGINAL / SIZE).astype(int)
    return drawing[np.ix_(nearest, nearest)]


def _chosen_folder(source: Path | str | None) -> Path | None:
    name = str(source) if source is not None else os.environ.get(VARIABLE, "")
    if not name:
        return None
    origin = "" if source is not None else f" (named by {VARIABLE})"
    require(
        Path(name).is_dir(),
        f"the Omniglot folder {name}{origin} is not there; name the folder that holds the two archives",
    )
    return Path(name)


def _download() -> Path:
    """Fetch the official archives into the cache and check them; what has arrived is not fetched again."""
    pooch, folder = optional_module("pooch", "data"), cache_folder() / "omniglot"
    fetcher = pooch.create(folder, URL, registry=MD5, retry_if_failed=2)
    for archive in MD5:
        try:
            fetcher.fetch(archive, progressbar=True)
        except (OSError, ValueError) as error:  # requests' errors are OSErrors, a wrong checksum a ValueError
            reason = str(error).split(" (Caused by")[0]
            raise StoreError(
                f"the download of {URL}{archive} failed ({reason}); run again, or put the two archives into "
                f"a folder and name it by {VARIABLE}"
            ) from error
    return folder


def _convert(folder: Path) -> Arrays:
    """Read, verify and reduce all drawings: 98 bytes each."""
    digest = hashlib.sha256()
    characters: list[np.ndarray] = []
    background = 0
    for half in PARTS:
        for character, drawings in itertools.groupby(_drawings(folder, half), lambda item: item[0][:-1]):
            reduced = []
            for path, bits in drawings:
                digest.update("/".join(path).encode())
                digest.update(bits)
                pixels = np.unpackbits(np.frombuffer(bits, np.uint8).reshape(ORIGINAL, -1), axis=1)
                reduced.append(np.packbits(reduce(pixels[:, :ORIGINAL])))
            if len(reduced) != DRAWERS:
                raise StoreError(
                    f"{folder}: {'/'.join(character)} holds {len(reduced)} drawings instead of {DRAWERS}; "
                    "get a complete copy of Omniglot"
                )
            characters.append(np.stack(reduced))
        background = background or len(characters)
    if digest.hexdigest() != CONTENT_SHA256:
        raise StoreError(
            f"the {background} + {len(characters) - background} characters in {folder} are not those of "
            f"Omniglot: their SHA-256 is not that of its 964 + 659 characters; get a fresh copy"
        )
    return {"pixels": np.stack(characters), "background": np.array(background)}


def _drawings(folder: Path, half: str) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """Yield (part, alphabet, character, file) and the bits of every drawing, in sorted order."""
    Image, archive = optional_module("PIL.Image", "data"), folder / f"{half}.zip"
    require(
        archive.is_file() or (folder / half).is_dir(),
        f"{folder} holds neither {half}.zip nor a folder {half}; name the folder that holds Omniglot",
    )
    try:
        for path, content in _archived(archive) if archive.is_file() else _unpacked(folder, half):
            with Image.open(io.BytesIO(content)) as image:
                if image.size != (ORIGINAL, ORIGINAL):
                    raise StoreError(
                        f"{folder}: {'/'.join(path)} has {image.size[0]}×{image.size[1]} pixels; Omniglot's "
                        f"drawings have {ORIGINAL}×{ORIGINAL}: get a fresh copy"
                    )
                yield path, image.convert("1").tobytes()
    except StoreError:
        raise
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        damaged = archive if archive.is_file() else folder / half
        reason = str(error).partition(" <")[0]  # Pillow names objects in memory
        raise StoreError(f"{damaged} is damaged ({reason}); delete it and get a fresh copy") from error


def _archived(archive: Path) -> Iterator[tuple[tuple[str, ...], bytes]]:
    with zipfile.ZipFile(archive) as file:
        found = {tuple(member.filename.split("/")): member for member in file.infolist()}
        tops = {path[0] for path in found if path[-1].endswith(".png")}
        if archive.stem not in tops and tops & set(PARTS):
            raise StoreError(f"{archive} holds the other part: they are swapped; exchange their names")
        for path in sorted(path for path in found if path[0] == archive.stem and path[-1].endswith(".png")):
            member = found[path]
            if member.flag_bits & 1 or member.file_size > LARGEST:  # a drawing has a few hundred bytes
                what = "is encrypted" if member.flag_bits & 1 else f"unpacks to {member.file_size:,} bytes"
                raise StoreError(f"{archive}: {member.filename} {what}; get a fresh copy")
            yield path, file.read(member)


def _unpacked(folder: Path, half: str) -> Iterator[tuple[tuple[str, ...], bytes]]:
    for file in sorted((folder / half).glob("*/*/*.png"), key=lambda file: file.parts):
        yield file.relative_to(folder).parts, file.read_bytes()
