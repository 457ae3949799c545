"""Figures of the book: where their forms are kept, and what `book/figures.yml` says of them."""

import base64
import json
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import yaml
from PIL import Image

from companion.publishing.forms import CSV, PDF, PNG, SVG
from metalib.errors import InputError

LIST = "book/figures.yml"
KEYS = {"title", "results", "parameters", "drawn", "frame"}
SUFFIXES = {SVG: "svg", PDF: "pdf", PNG: "png", CSV: "csv"}
THUMBNAIL = 320
"""Pixels: the width of a picture in the gallery, at least."""


@dataclass(frozen=True)
class Entry:
    """What is said of one figure by hand.

    Attributes:
        title: a short name for lists and citations.
        results: the folders of stored results that it draws from.
        parameters: the parameters of its notebook that decide it; those of all if none is named.
        drawn: how it was made, if it was not computed.
        frame: the page that holds it, if it is interactive.
    """

    title: str
    results: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    drawn: str = ""
    frame: str = ""


@dataclass
class Figure:
    """A figure on a page of the book.

    Attributes:
        name: its anchor, which stays when it moves to another page.
        page: the page that it stands on, without suffix.
        caption: the parts of its caption, "text" or "math"; none for interactive ones.
        alt: what it shows.
        entry: what is said of it by hand; if there is nothing, its caption stands in.
        listed: whether anything was.
        forms: the suffixes of its files.
        file: the file that it was drawn in by hand, from the root; empty if a notebook drew it.
    """

    name: str
    page: str
    caption: list[tuple[str, str]]
    alt: str
    entry: Entry
    listed: bool = True
    forms: tuple[str, ...] = ()
    file: str = ""

    @property
    def permalink(self) -> str:
        """Its stable address, from the root of the book."""
        return f"figures/{self.name}.html"


def listed(root: Path) -> dict[str, Entry]:
    """Return what is said of all figures by hand.

    Raises:
        InputError: if an entry has no title, or says what is not understood, or names a result that is
            not stored.
    """
    found = {}
    for name, told in yaml.safe_load((root / LIST).read_text()).items():
        unknown = set(told) - KEYS
        if unknown or not told.get("title"):
            allowed = ", ".join(sorted(KEYS))
            raise InputError(f"{LIST}: {name} needs a title and may have {allowed}; it has {told}")
        for result in told.get("results", []):
            if not (root / "results" / result / "provenance.json").exists():
                raise InputError(f"{LIST}: {name} names the result {result}, which is not stored")
        lists = {key: tuple(told.get(key, ())) for key in ("results", "parameters")}
        found[name] = Entry(**{**told, **lists})
    return found


@lru_cache(maxsize=64)
def _kept(notebook: Path, changed: int) -> dict[str, dict[str, bytes]]:
    """Return the forms of all figures of a notebook, by name and suffix."""
    found: dict[str, dict[str, bytes]] = {}
    for cell in json.loads(notebook.read_text())["cells"]:
        name = cell["metadata"].get("mystnb", {}).get("figure", {}).get("name")
        for output in cell.get("outputs", []):
            data = {kind: "".join(data) for kind, data in output.get("data", {}).items() if kind in SUFFIXES}
            if name and PNG in data:
                found[name] = {
                    SUFFIXES[kind]: base64.b64decode(text) if kind in (PNG, PDF) else text.encode()
                    for kind, text in data.items()
                }
    return found


def kept(notebook: Path) -> dict[str, dict[str, bytes]]:
    """Return the forms of all figures of a notebook, by name and suffix, in the order of `SUFFIXES`."""
    found = _kept(notebook, notebook.stat().st_mtime_ns)
    return {name: {s: forms[s] for s in SUFFIXES.values() if s in forms} for name, forms in found.items()}


def parameters(notebook: Path) -> list[str]:
    """Return the parameters of a notebook with their values, as its first cell writes them."""
    for cell in json.loads(notebook.read_text())["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            lines = "".join(cell["source"]).splitlines()
            return [line.split("  #")[0] for line in lines if " = " in line]
    return []


def thumbnail(png: bytes) -> bytes:
    """Return a small copy of a picture, of the same bytes for the same picture."""
    with Image.open(BytesIO(png)) as image:
        small = image.convert("RGB").reduce(max(image.width // THUMBNAIL, 1))
    buffer = BytesIO()
    small.quantize(32, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return buffer.getvalue()
