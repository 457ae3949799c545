"""The 100 classes of Mini-ImageNet, and whether a copy is the complete one, file by file.

`miniimagenet.csv` holds the 64 training, 16 validation and 20 test classes of Ravi and Larochelle (2017) by
WordNet ID, and a hash of each, so that a copy that differs is told where.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from metalib.errors import StoreError

FILE = "miniimagenet.csv"
PARTS = ("train", "val", "test")
PER_CLASS = 600
CONTENT_SHA256 = "2faa165578ced7e4c91b9f99de1d2cb03518f2e078c0130b5eaf853969410901"
"""Hash over all images, part by part, class by class and file by file: of each, the text "part/class/file"
and the 32 bytes of its own SHA-256."""
SOURCE = "a complete copy is in the public repository Deo0330/split_minidataset on GitHub"

Classes = dict[str, list[Path]]
"""The image files of every class, both in sorted order."""


class KnownClass(NamedTuple):
    """A class of Mini-ImageNet: its part, and the first 16 digits of the hash over its 600 images."""

    part: str
    sha256: str


@lru_cache(maxsize=1)
def known_classes() -> Mapping[str, KnownClass]:
    """Return all classes by WordNet ID, in the order of the parts and, within each, of the IDs."""
    with resources.files(__package__).joinpath(FILE).open(encoding="utf-8") as table:
        return {row["wordnet_id"]: KnownClass(row["split"], row["sha256"]) for row in csv.DictReader(table)}


def require_complete(folder: Path, classes: Mapping[str, Classes]) -> None:
    """Make sure that a copy holds the 60,000 images of `CONTENT_SHA256`, each in its class and part.

    Args:
        folder: the copy, for messages.
        classes: its files, by part and class.

    Raises:
        StoreError: if a class is missing or unknown, has another number of images, or other ones.
    """
    known = known_classes()
    found = {(part, label): files for part in PARTS for label, files in classes[part].items()}
    expected = {(one.part, label): one for label, one in known.items()}
    missing = [place for place in expected if place not in found]
    if missing:
        raise _incomplete(folder, f"lacks class {_named(missing[0])} ({len(missing)} classes in all)")
    unknown = [place for place in found if place not in expected]
    if unknown:
        raise _incomplete(folder, f"holds {_named(unknown[0])}, which is no class of Mini-ImageNet")
    short = [place for place, files in found.items() if len(files) != PER_CLASS]
    if short:
        count = len(found[short[0]])
        raise _incomplete(
            folder,
            f"holds {count} images of class {_named(short[0])} instead of {PER_CLASS} "
            f"({len(short)} such classes in all)",
        )
    total, other = hashlib.sha256(), []
    for place, one in expected.items():
        entries = _entries("/".join(place), found[place])
        total.update(entries)
        if not hashlib.sha256(entries).hexdigest().startswith(one.sha256):
            other.append(place)
    if other:
        raise _incomplete(
            folder, f"holds other images or names in class {_named(other[0])} ({len(other)} classes in all)"
        )
    if total.hexdigest() != CONTENT_SHA256:
        raise _incomplete(folder, f"has the SHA-256 {total.hexdigest()[:12]}…, not {CONTENT_SHA256[:12]}…")


def _entries(place: str, files: list[Path]) -> bytes:
    """Return what is hashed of a class."""
    try:
        return b"".join(
            f"{place}/{file.name}".encode() + hashlib.sha256(file.read_bytes()).digest() for file in files
        )
    except OSError as error:
        raise StoreError(f"cannot read {error.filename} ({error.strerror}); get a fresh copy") from error


def _named(place: tuple[str, str]) -> str:
    part, label = place
    return f"{label} ({part})"


def _incomplete(folder: Path, reason: str) -> StoreError:
    return StoreError(f"the Mini-ImageNet copy {folder} {reason}; {SOURCE}")
