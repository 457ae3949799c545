"""How the embedded glyphs are rendered: `python -m companion.glyphs.rendering` writes their file again.

A letter is rendered 20 times, each time in one of the faces that have it and slightly turned, sheared, scaled
and shifted. What comes out depends on the versions of matplotlib, whose fonts are used, and of Pillow. That
is why the result is kept, and not made anew on every machine.
"""

from __future__ import annotations

import math
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageFont
from PIL.ImageFont import FreeTypeFont

import metalib.data
from metalib.data.glyphs import FILE, RENDITIONS, SIZE, letters
from metalib.rng import generator

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8

FACES = ("DejaVuSans", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral")
FEWEST_FACES = 8
LOOK_ALIKE = 0.93
FONT_SIZE = 64
FINER = 4
"""Letters are drawn this much larger than 28×28 and averaged down before ink and paper are told apart."""

TURN = math.radians(8.0)
SHEAR = 0.12
SCALE = (0.78, 0.98)
SHIFT = 1.5


def render() -> dict[str, np.ndarray]:
    """Return `pixels`, one bit each, [letters, 20, 98], and `letters`, their code points."""
    faces = _faces()
    candidates = _candidates(faces)
    chosen = _without_look_alikes(candidates, faces[0][1])
    pixels = [
        np.stack([np.packbits(image) for image in _renditions(letter, fonts)])
        for letter, fonts in candidates.items()
        if letter in chosen
    ]
    return {"pixels": np.stack(pixels), "letters": np.array([ord(letter) for letter in chosen])}


def _faces() -> list[tuple[set[int], FreeTypeFont]]:
    """Return the letters and the font of every face, DejaVu Sans in its upright regular form first."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    # "DejaVuSansDisplay" and its like hold only a few letters.
    files = sorted(
        file for file in folder.glob("*.ttf") if file.stem.startswith(FACES) and "Display" not in file.stem
    )
    files.sort(key=lambda file: file.stem != "DejaVuSans")
    return [
        (set(FT2Font(str(file)).get_charmap()), ImageFont.truetype(str(file), FONT_SIZE)) for file in files
    ]


def _candidates(faces: list[tuple[set[int], FreeTypeFont]]) -> dict[str, list[FreeTypeFont]]:
    """Return the letters that are no accented form of another and exist in enough faces, with their fonts."""
    found = {}
    for code in sorted(faces[0][0]):
        letter = chr(code)
        fonts = [font for codes, font in faces if code in codes]
        is_letter = unicodedata.category(letter) in ("Ll", "Lu", "Lo")
        if is_letter and not unicodedata.decomposition(letter) and len(fonts) >= FEWEST_FACES:
            found[letter] = fonts
    return found


def faces_of_renditions() -> Int[np.ndarray, "letters 20"]:
    """Return in which face every embedded rendition was set, by its number among all faces.

    The faces are those of the installed matplotlib; its releases have had the same ones for many years.
    """
    faces = _faces()
    numbers = np.empty((len(letters()), RENDITIONS), int)
    for row, letter in zip(numbers, letters(), strict=True):
        having = [number for number, (codes, _) in enumerate(faces) if ord(letter) in codes]
        rng = generator(0, "glyphs", ord(letter))
        for i in range(RENDITIONS):
            row[i] = having[rng.integers(len(having))]
            rng.uniform(size=6)  # the distortions
    return numbers


def _without_look_alikes(letters: dict[str, list[FreeTypeFont]], font: FreeTypeFont) -> list[str]:
    """Keep a letter if the cosine between its ink and that of every letter kept before it is small enough."""
    straight = np.eye(2) / max(SCALE)
    inks = np.stack([_draw(letter, font, straight, np.zeros(2)).ravel() for letter in letters])
    inks /= np.linalg.norm(inks, axis=1, keepdims=True)
    kept: list[int] = []
    for i, ink in enumerate(inks):
        if not kept or (inks[kept] @ ink).max() <= LOOK_ALIKE:
            kept.append(i)
    return [letter for i, letter in enumerate(letters) if i in kept]


def _renditions(letter: str, fonts: list[FreeTypeFont]) -> UInt8[np.ndarray, "20 28 28"]:
    """Render a letter in faces and distortions that depend on the letter alone."""
    rng = generator(0, "glyphs", ord(letter))
    images = np.empty((RENDITIONS, SIZE, SIZE), np.uint8)
    for i in range(RENDITIONS):
        font = fonts[rng.integers(len(fonts))]
        angle, shear = rng.uniform(-TURN, TURN), rng.uniform(-SHEAR, SHEAR)
        rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        matrix = rotation @ np.array([[1.0, shear], [0.0, 1.0]]) / rng.uniform(*SCALE, size=2)
        images[i] = _draw(letter, font, matrix, rng.uniform(-SHIFT, SHIFT, size=2)) < 0.5
    return images


def _draw(
    letter: str, font: FreeTypeFont, matrix: Float[np.ndarray, "2 2"], shift: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, "28 28"]:
    """Draw a letter, centered and as large as fits, and return the share of ink of every pixel.

    Args:
        letter: what to draw.
        font: its face.
        matrix: maps places of the picture, as seen from its center, to places of the undistorted letter.
        shift: of the picture, in pixels.
    """
    mask = font.getmask(letter)
    tight = Image.frombytes("L", mask.size, bytes(mask))
    largest = SIZE * FINER
    matrix = matrix * max(tight.size) / largest
    offset = np.array(tight.size) / 2 - matrix @ (largest / 2 + FINER * shift)
    coefficients = (*matrix[0], offset[0], *matrix[1], offset[1])
    fine = tight.transform(
        (largest, largest), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    blocks = np.asarray(fine, dtype=float).reshape(SIZE, FINER, SIZE, FINER)
    return blocks.mean((1, 3)) / 255.0


def main() -> None:
    """Write the file that `metalib.data.glyphs` reads."""
    path = Path(metalib.data.__file__).with_name(FILE)
    arrays = render()
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    print(f"{len(arrays['letters'])} letters rendered")


if __name__ == "__main__":
    main()
