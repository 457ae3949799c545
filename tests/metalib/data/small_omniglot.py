"""A small Omniglot to read, pack and damage."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

ALPHABETS = {
    "images_background": {"Greek": 2, "N_Ko": 1},
    "images_evaluation": {"Tengwar": 2},
}


def drawing(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 2, (105, 105)).astype(bool)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def content_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for part in ALPHABETS:
        for alphabet in sorted(p.name for p in (folder / part).iterdir()):
            for character in sorted(p.name for p in (folder / part / alphabet).iterdir()):
                for file in sorted((folder / part / alphabet / character).iterdir()):
                    digest.update(f"{part}/{alphabet}/{character}/{file.name}".encode())
                    digest.update(Image.open(file).convert("1").tobytes())
    return digest.hexdigest()


def pack(folder: Path, to: Path) -> Path:
    """Archive both parts as the official archives are: with entries for folders, in any order."""
    to.mkdir(exist_ok=True)
    for part in ALPHABETS:
        with zipfile.ZipFile(to / f"{part}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((folder / part).rglob("*"), reverse=True):
                archive.write(path, path.relative_to(folder))
    return to


def kept(tmp_path: Path) -> list[str]:
    """What lies in the cache, locks aside."""
    return sorted(p.name for p in (tmp_path / "cache").glob("*") if p.suffix != ".lock")
