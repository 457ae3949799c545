"""Sphinx extension: matters of typesetting."""

import re

from docutils import nodes

BIBLIOGRAPHY_ROLE = re.compile(r' role="(?:doc-biblioentry|list(?=" class="citation-list"))"')
LITERAL = re.compile(r'(?<=<span class="pre">)[^<]+')
CELL = re.compile(r"<td\b.*?</td>", re.DOTALL)
INTERVAL = re.compile(r"(?<=\d ±) (?=\d)")


def keep_own_environment(app, doctree):
    r"""Let a displayed equation of several lines carry the paper's number.

    Sphinx wraps a displayed equation that contains a line break in LaTeX's `split`, where `\tag` is an
    error. An equation with a tag brings its own environment and is handed to MathJax as it is.
    """
    for block in doctree.findall(nodes.math_block):
        text = block.astext()
        if r"\tag{" in text and not block.get("nowrap"):
            block["nowrap"] = True
            block.children = [nodes.Text(rf"\[{text}\]")]


def let_names_break(app, pagename, templatename, context, doctree):
    """Let long names of functions and tests break after a dot or an underscore, so that tables fit."""
    if "body" in context:
        context["body"] = LITERAL.sub(lambda name: re.sub(r"([._]+)", r"\1<wbr>", name[0]), context["body"])


def with_their_sign(body):
    """Return a page on which the cells of tables break before ±, not behind it.

    >>> with_their_sign("<td><p>sum +4.48 ± 0.10, last 2 ± 1</p></td><p>Here is 1 ± 2.</p>")
    '<td><p>sum +4.48 ±&#160;0.10, last 2 ±&#160;1</p></td><p>Here is 1 ± 2.</p>'
    """
    return CELL.sub(lambda cell: INTERVAL.sub("&#160;", cell[0]), body)


def keep_intervals(app, pagename, templatename, context, doctree):
    """Keep what follows ± on the line of the sign, so that a narrow window splits no interval in three."""
    if "body" in context:
        context["body"] = with_their_sign(context["body"])


def drop_wrong_roles(app, pagename, templatename, context, doctree):
    """Take away roles that the elements of a bibliography may not have, for those who hear the page."""
    if "body" in context:
        context["body"] = BIBLIOGRAPHY_ROLE.sub("", context["body"])


def setup(app):
    """Register the extension."""
    app.connect("doctree-read", keep_own_environment)
    app.connect("html-page-context", let_names_break)
    app.connect("html-page-context", keep_intervals)
    app.connect("html-page-context", drop_wrong_roles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
