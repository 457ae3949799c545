"""SVG, PDF, PNG and CSV of a figure, and how a notebook comes to hold them.

A notebook keeps several forms of one output beside each other. `style.figure` registers the forms, so that
an executed notebook carries them and no page has to ask for it. The same figure gives the same bytes: no
dates, no random identifiers, letters as outlines, a layout that is settled once.
"""

from __future__ import annotations

import base64
import io
import os
import re
from typing import Any

from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from PIL import Image

from companion.publishing.table import as_csv

SVG, PDF, PNG, CSV = "image/svg+xml", "application/pdf", "image/png", "text/csv"
"""Media types of the forms."""

DPI = 300
"""Dots per inch of a PNG, enough for print."""

COLORS = 256
"""Colors of a PNG. Line art has few, and a palette makes its file a third as large."""

SWITCH = "COMPANION_FORMS"
"""Environment variable: if it is "none", figures are only shown, for runs that nobody looks at."""

_PICTURE = re.compile(r"(?<=data:image/png;base64,)[\w+/=\s]+")
_OUTLINE = re.compile(r' (?:d|x|y)="[^"]*"')
_DECIMALS = re.compile(r"(\.\d\d)\d+")


def svg(canvas: Figure) -> str:
    """Return a figure as SVG, to a hundredth of a point, its pictures with few colors."""
    found = _saved(canvas, "svg", {"Date": None, "Creator": None}).decode()
    found = _PICTURE.sub(
        lambda picture: base64.b64encode(_few_colors(base64.b64decode(picture[0]))).decode(), found
    )
    return _OUTLINE.sub(lambda outline: _DECIMALS.sub(r"\1", outline[0]), found)


def pdf(canvas: Figure) -> bytes:
    """Return a figure as PDF."""
    return _saved(canvas, "pdf", {"CreationDate": None, "Creator": None, "Producer": None})


def png(canvas: Figure) -> bytes:
    """Return a figure as PNG."""
    return _few_colors(_saved(canvas, "png", {"Software": None}, dpi=DPI), dpi=(DPI, DPI))


def _few_colors(picture: bytes, **options: Any) -> bytes:
    """Return a PNG with a palette; one that lets something shine through stays as it is."""
    with Image.open(io.BytesIO(picture)) as image:
        if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
            return picture
        few = image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    few.save(buffer, "png", optimize=True, **options)
    return buffer.getvalue()


def _saved(canvas: Figure, form: str, metadata: dict[str, None], **options: Any) -> bytes:
    _settle(canvas)
    buffer = io.BytesIO()
    canvas.savefig(buffer, format=form, metadata=metadata, bbox_inches="tight", **options)
    return buffer.getvalue()


def _settle(canvas: Figure) -> None:
    """Lay a figure out once: every further round would move its panels by a fraction of a point."""
    engine = canvas.get_layout_engine()
    if engine is not None and not isinstance(engine, PlaceHolderLayoutEngine):
        canvas.draw_without_rendering()
        canvas.set_layout_engine("none")


def forms(canvas: Figure) -> dict[str, str]:
    """Return every form but the PNG, as a notebook keeps it: by media type, binary ones in base 64.

    A figure that draws nothing but pictures has no CSV.
    """
    table = as_csv(canvas)
    found = {SVG: svg(canvas), PDF: base64.b64encode(pdf(canvas)).decode()}
    return found | ({CSV: table} if table else {})


def activate() -> None:
    """Have this notebook keep all forms of its figures; outside a notebook nothing happens.

    The PNG replaces that of matplotlib's inline backend, which must be active already.
    """
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:  # figures can be drawn without a notebook
        return
    shell = get_ipython()
    formatter = getattr(shell, "display_formatter", None)
    if formatter is None or os.environ.get(SWITCH) == "none":
        return
    formatter.mimebundle_formatter.for_type(Figure, lambda canvas, **_: forms(canvas))
    formatter.formatters[PNG].for_type(Figure, png)
