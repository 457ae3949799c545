"""Sphinx extension: pages load what they use.

The theme sends every icon of Font Awesome three times over (as a script, as rules of style, as a font) and
the index of the search to pages that do not search; MathJax comes with its menu. That is 2.3 of the 3.6
megabytes of a first visit. Here the icons that no page shows are taken out, and the rest of what no page uses
is not loaded.
"""

import logging
import re
from pathlib import Path
from typing import Any

import pydata_sphinx_theme
from fontTools import subset

THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
STYLE = Path("styles/pydata-sphinx-theme.css")
FONT = Path("vendor/fontawesome/webfonts/fa-solid-900.ttf")
UNUSED = re.compile(
    r"\s*<script[^>]*(?:scripts/fontawesome|_static/searchtools|_static/language_data|searchindex)\.js[^>]*></script>"
    r"|\s*<link[^>]*scripts/fontawesome\.js[^>]*>"
)
"""What pages other than the search need not load; icons are drawn by the font."""

ICON = re.compile(r"((?:\.fa-[\w-]+:{1,2}before,?)+)\{content:\"\\([0-9a-f]+)\"\}")
"""A rule that shows an icon, with its names and its place in the font."""

MATHJAX = {"loader": {"load": ["core", "input/tex", "output/chtml", "a11y/assistive-mml"]}}
"""Everything of MathJax but its menu; the output loads its font itself."""


def take_parts_of_mathjax(app: Any, config: Any) -> None:
    """Load the parts of MathJax one by one."""
    config.mathjax_path = "mathjax/startup.js"
    config.mathjax3_config = {**MATHJAX, **config.mathjax3_config}


def lighten(app: Any, exception: Exception | None) -> None:
    """Take out of the pages, the style and the font what no page uses."""
    if app.builder.format != "html" or exception:
        return
    out = Path(app.outdir)
    pages = [path for path in out.rglob("*.html") if "_static" not in path.parts]
    text = ""
    for path in pages:
        page = path.read_text()
        text += page
        light = page if path.name == "search.html" else UNUSED.sub("", page)
        if light != page:
            path.write_text(light)
    static = out / "_static"
    scripts = [
        path
        for path in static.rglob("*.js")
        if "fontawesome" not in path.name and "mathjax" not in path.parts
    ]
    used = set(re.findall(r"\bfa-[\w-]+", text + "".join(path.read_text() for path in scripts)))
    style = ICON.sub(lambda rule: rule[0] if names(rule[1]) & used else "", (THEME / STYLE).read_text())
    style = style.replace('url(../vendor/fontawesome/webfonts/fa-solid-900.woff2) format("woff2"),', "")
    (static / STYLE).write_text(style)
    own = "".join(path.read_text() for path in static.rglob("*.css") if path.name != STYLE.name)
    shown = {int(code, 16) for code in re.findall(r"\\(f[0-9a-f]{3})\b", style + own)}
    write_font(shown, static / FONT)


def names(selectors: str) -> set[str]:
    """Return the names of an icon.

    >>> sorted(names(".fa-bars:before,.fa-navicon:before"))
    ['fa-bars', 'fa-navicon']
    """
    return set(re.findall(r"fa-[\w-]+", selectors))


def write_font(shown: set[int], target: Path) -> None:
    """Write the font with these icons only; without a date, so that its bytes stay."""
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    options = subset.Options(
        recalc_timestamp=False, layout_features=[], name_IDs=[0, 1, 2, 3, 4, 6], notdef_outline=True
    )
    font = subset.load_font(str(THEME / FONT), options)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=shown)
    cutter.subset(font)
    subset.save_font(font, str(target), options)


def setup(app: Any) -> dict[str, bool]:
    """Register the extension, after the others have written what they write."""
    app.connect("config-inited", take_parts_of_mathjax)
    app.connect("build-finished", lighten, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
