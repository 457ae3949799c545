"""Sphinx extension: pages load what they use.

The theme sends every icon of Font Awesome three times over (as a script, as rules of style, as a font) and
the index of the search to pages that do not search; MathJax comes with its menu, the style with the rules of
a whole toolkit. That is 2.5 of the 3.6 megabytes of a first visit. Here the icons that no page shows and the
rules that apply nowhere are taken out, pictures lose their white space, and what is left over is not loaded.
"""

import logging
import re
from collections.abc import Iterator
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
    known = set(re.findall(r"[\w-]+", text + "".join(path.read_text() for path in scripts)))
    license_ = "".join(re.findall(r"/\*!.*?\*/", style, flags=re.DOTALL))
    rules = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    (static / STYLE).write_text(license_ + applying(rules, known))
    for picture in (out / "_images").glob("*.svg"):
        picture.write_text(dense(picture.read_text()))
    own = "".join(path.read_text() for path in static.rglob("*.css") if path.name != STYLE.name)
    shown = {int(code, 16) for code in re.findall(r"\\(f[0-9a-f]{3})\b", style + own)}
    write_font(shown, static / FONT)


def applying(style: str, known: set[str]) -> str:
    """Return a style without the rules for classes that appear in no page and no script.

    >>> applying("a{b:c}.d .e,.f{g:h}@media x{.e{i:j}}@k l{m{n:o}}", {"d", "f"})
    'a{b:c}.f{g:h}@k l{m{n:o}}'
    """
    kept = []
    for head, body in blocks(style):
        if head.startswith("@media"):
            inner = applying(body, known)
            kept.append(f"{head}{{{inner}}}" if inner else "")
        elif head.startswith("@") or "(" in head:
            kept.append(f"{head}{{{body}}}" if body else head)
        else:
            applied = [part for part in head.split(",") if classes(part) <= known]
            kept.append(f"{','.join(applied)}{{{body}}}" if applied else "")
    return "".join(kept)


def classes(selector: str) -> set[str]:
    """Return the classes of a selector, but for those that Bootstrap puts together as it runs."""
    return {name for name in re.findall(r"\.(-?[A-Za-z_][\w-]*)", selector) if not name.startswith("bs-")}


def blocks(style: str) -> Iterator[tuple[str, str]]:
    """Yield the rules of a style without white space: what stands before the braces, and within."""
    depth = start = opened = 0
    for mark in re.finditer(r'"(?:[^"\\]|\\.)*"|/\*.*?\*/|[{};]', style, flags=re.DOTALL):
        if mark[0] == ";" and depth == 0:
            yield style[start : mark.end()].strip(), ""
            start = mark.end()
        elif mark[0] == "{":
            depth += 1
            opened = mark.end() if depth == 1 else opened
        elif mark[0] == "}":
            depth -= 1
            if depth == 0:
                yield style[start : opened - 1].strip(), style[opened : mark.start()]
                start = mark.end()


def dense(svg: str) -> str:
    """Return a picture without comments and white space that nobody sees.

    >>> dense('<svg> <!-- a --> <path d="M 1 2 L 3 4" style="fill: none; stroke: red"/> </svg>')
    '<svg><path d="M1 2L3 4" style="fill:none;stroke:red"/></svg>'
    """
    svg = re.sub(r">\s+<", "><", re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL))
    svg = re.sub(r'(?<= d=")[^"]*', lambda d: re.sub(r"\s*([A-DF-Zac-df-z])\s*", r"\1", d[0]), svg)
    return re.sub(r'style="[^"]*"', lambda style: re.sub(r"([:;]) ", r"\1", style[0]), svg)


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
    with subset.load_font(str(THEME / FONT), options, lazy=False) as font:
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=shown)
        cutter.subset(font)
        subset.save_font(font, str(target), options)


def setup(app: Any) -> dict[str, bool]:
    """Register the extension, after the others have written what they write."""
    app.connect("config-inited", take_parts_of_mathjax)
    app.connect("build-finished", lighten, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
