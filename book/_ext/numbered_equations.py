"""Sphinx extension: let a displayed equation of several lines carry the paper's number.

Sphinx wraps a displayed equation that contains a line break in LaTeX's `split`, where `\\tag` is an
error. An equation that brings its own environment needs no `split`: it is handed to MathJax as it is.
"""

from docutils import nodes


def keep_own_environment(app, doctree):
    """Exempt displayed equations with a tag from Sphinx's wrapping."""
    for block in doctree.findall(nodes.math_block):
        text = block.astext()
        if r"\tag{" in text and not block.get("nowrap"):
            block["nowrap"] = True
            block.children = [nodes.Text(rf"\[{text}\]")]


def setup(app):
    """Register the extension."""
    app.connect("doctree-read", keep_own_environment)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
