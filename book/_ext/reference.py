"""Sphinx extension: the reference of the library, made of its docstrings, with their mathematics typeset."""

from __future__ import annotations

import re
from typing import Any

from docstring_math import formulas, to_latex
from sphinx.domains.python import PyObject

SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields|Source|Example|Examples):$")
EQUATIONS = re.compile(r"\b(Eqs?)\. ((?:\d+)(?:(?:–|, | and |, and )\d+)*)")
NUMBER = re.compile(r"\d+")
CODE = re.compile(r"`[^`]+`")
NAME = re.compile(r"[A-Za-z_][\w.]*")
SPECIAL = re.compile(r"\\|\||(?<![\w*])\*(?!\w+\*)|(?<=\w)_(?=\W|$)")
"""What reStructuredText would read as markup. Emphasis, `*stack*`, is meant as such."""


def restructured(lines: list[str]) -> list[str]:
    """Return a docstring as reStructuredText: formulas as LaTeX, equations of the paper as links.

    Examples, and blocks that are set off from the text, stay as they are written.
    """
    result: list[str] = []
    literal = None  # the indentation that a block which is kept as it is lies deeper than
    example = False
    for place, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indent <= literal:
            literal = None
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not line.strip() or literal is not None or example or SECTION.match(line.strip()):
            result.append(line)
            continue
        text = _text(line)
        if _opens_block(lines, place):
            literal = indent
            text += ":"
        result.append(text)
    return result


def _opens_block(lines: list[str], place: int) -> bool:
    """Say whether a line ends in a colon, and an indented block follows after an empty line."""
    if not lines[place].rstrip().endswith(":") or place + 2 >= len(lines) or lines[place + 1].strip():
        return False
    following = lines[place + 2]
    indent = len(lines[place]) - len(lines[place].lstrip())
    return len(following) - len(following.lstrip()) > indent and not following.lstrip().startswith(">>>")


def _text(line: str) -> str:
    """Return one line of text as reStructuredText."""
    parts, done = [], 0
    for start, stop in formulas(line):
        # A role must begin and end where a word does: a backslash and a space do that, and print nothing.
        formula = rf"\ :math:`{to_latex(line[start:stop])}`\ "
        parts += [_words(line[done:start]), formula]
        done = stop
    return "".join([*parts, _words(line[done:])])


def _words(text: str) -> str:
    """Return text without formulas as reStructuredText."""
    parts, done = [], 0
    for found in CODE.finditer(text):
        parts += [_plain(text[done : found.start()]), _code(found[0])]
        done = found.end()
    return "".join([*parts, _plain(text[done:])])


def _plain(text: str) -> str:
    escaped = SPECIAL.sub(lambda found: f"\\{found[0]}", text)
    return EQUATIONS.sub(_linked, escaped)


def _linked(found: re.Match[str]) -> str:
    """Return numbers of equations as links to them."""
    return f"{found[1]}. " + NUMBER.sub(lambda n: rf"\ :ref:`{n[0]} <eq-{n[0]}>`\ ", found[2])


def _code(quoted: str) -> str:
    """Return a name between backticks as a link to what it names, anything else as code."""
    inside = quoted.strip("`")
    return f":py:obj:`{inside}`" if NAME.fullmatch(inside) else f"``{inside}``"


def typeset(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Replace the lines of a docstring, before its sections are read."""
    lines[:] = restructured(lines)


def setup(app: Any) -> dict[str, bool]:
    """Register the extension."""
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    # Napoleon, which reads the sections, listens with priority 500.
    app.connect("autodoc-process-docstring", typeset, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
