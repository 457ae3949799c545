"""The 100 classes of Mini-ImageNet, and whether a copy is the complete one, file by file.

`miniimagenet.csv` holds the classes of Ravi and Larochelle (2017) by WordNet ID, their parts, and the first
digits of a hash of each, so that a copy that differs is told where.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path

from metalib.errors import StoreError

PARTS = ("train", "val", "test")
PER_CLASS = 600
CONTENT_SHA256 = "2faa165578ced7e4c91b9f99de1d2cb03518f2e078c0130b5eaf853969410901"
"""Hash over the text "part/class/file" and the SHA-256 of every image, in the order of these texts' parts."""
SOURCE = "a complete copy is in the public repository Deo0330/split_minidataset on GitHub"

Classes = dict[str, list[Path]]
"""The image files of every class, both in sorted order."""


@lru_cache(maxsize=1)
def known_classes() -> Mapping[str, tuple[str, str]]:
    """Return part and hash of every class by WordNet ID, in the order of parts and IDs."""
    with resources.files(__package__).joinpath("miniimagenet.csv").open(encoding="utf-8") as table:
        return {row["wordnet_id"]: (row["split"], row["sha256"]) for row in csv.DictReader(table)}


def require_complete(folder: Path, classes: Mapping[str, Classes]) -> None:
    """Raise `StoreError` unless a copy, given by part and class, is that of `CONTENT_SHA256`, and no more."""
    hashes = {f"{part}/{label}": digest for label, (part, digest) in known_classes().items()}
    found = {f"{part}/{label}": files for part in PARTS for label, files in classes[part].items()}
    total, wrong = hashlib.sha256(), list[str]()
    for place in {**hashes, **found}:
        files = found.get(place, [])
        entries = b"".join(
            f"{place}/{file.name}".encode() + hashlib.sha256(_content(file)).digest() for file in files
        )
        total.update(entries)
        if place not in hashes:
            wrong.append(f"{place} is none of its classes")
        elif len(files) != PER_CLASS:
            wrong.append(f"{place} holds {len(files)} images instead of {PER_CLASS}")
        elif not hashlib.sha256(entries).hexdigest().startswith(hashes[place]):
            wrong.append(f"{place} holds other images or names")
    if wrong or total.hexdigest() != CONTENT_SHA256:
        reason = f"{wrong[0]} ({len(wrong)} classes differ)" if wrong else "its SHA-256 is another"
        raise StoreError(f"the Mini-ImageNet copy {folder} is not complete: {reason}; {SOURCE}")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}; {SOURCE}") from error
