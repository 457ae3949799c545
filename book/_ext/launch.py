"""Sphinx extension: links that open the notebooks on Binder and Colab, without a request before the click.

One value in `_config.yml` says where the repository is published, `launch_repository: OWNER/NAME` on GitHub.
As long as it is empty there are no links, and the page says why.
"""

from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

BRANCH = "main"
UNKNOWN = (
    "*(This copy of the book does not know where its repository is published, so there are no links here. "
    "Whoever publishes it writes the address into `_config.yml`, as `launch_repository: OWNER/NAME`.)*"
)
PLACEHOLDER = "OWNER/NAME"


def links(repository: str, notebook: str) -> dict[str, str]:
    """Return the addresses that open a notebook, by service; none if the repository is not published.

    Args:
        repository: owner and name on GitHub.
        notebook: its path in the repository.

    >>> links("a/b", "notebooks/sine.ipynb")["Binder"]
    'https://mybinder.org/v2/gh/a/b/main?urlpath=lab%2Ftree%2Fnotebooks%2Fsine.ipynb'
    >>> links("", "notebooks/sine.ipynb")
    {}
    """
    if not repository:
        return {}
    place = quote(f"lab/tree/{notebook}", safe="")
    return {
        "Binder": f"https://mybinder.org/v2/gh/{repository}/{BRANCH}?urlpath={place}",
        "Colab": f"https://colab.research.google.com/github/{repository}/blob/{BRANCH}/{notebook}",
    }


def first_step(repository: str) -> str:
    """Return the line that a notebook on Colab needs before all others.

    >>> print(first_step("a/b"))
    !git clone -q --depth 1 https://github.com/a/b book && pip install -q "./book[companion]"
    %cd book/notebooks
    """
    address = f"https://github.com/{repository or PLACEHOLDER}"
    install = 'pip install -q "./book[companion]"'
    return f"!git clone -q --depth 1 {address} book && {install}\n%cd book/notebooks"


def buttons(repository: str, notebook: str) -> str:
    """Return the links of a notebook as HTML, empty if there are none."""
    found = links(repository, notebook)
    anchors = [
        f'<a class="launch" rel="noreferrer external" href="{escape(address)}">{service}</a>'
        for service, address in found.items()
    ]
    return f'<p class="launch-links">Run this page on {" or ".join(anchors)}</p>' if anchors else ""


class LinksDirective(SphinxDirective):
    """A table of all notebooks with their links."""

    def run(self) -> list[nodes.Node]:
        """Return the table, or why there is none."""
        repository = self.config.launch_repository
        notebooks = sorted(Path(self.env.srcdir, "notebooks").glob("*.ipynb"))
        lines = [UNKNOWN]
        if repository:
            rows = []
            for path in notebooks:
                found = links(repository, f"notebooks/{path.name}")
                opens = " · ".join(f"[{service}]({address})" for service, address in found.items())
                rows.append(f"| [](../notebooks/{path.name}) | {opens} |")
            lines = ["| Page | Open it on |", "|---|---|", *rows]
        place = nodes.container()
        self.state.nested_parse(StringList(lines, source="launch"), 0, place)
        return place.children


class LineDirective(SphinxDirective):
    """The first step on Colab, to copy."""

    def run(self) -> list[nodes.Node]:
        """Return it as a block of code."""
        text = first_step(self.config.launch_repository)
        return [nodes.literal_block(text, text, language="text")]


def add_buttons(
    app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Put the links of a notebook below its title."""
    if pagename.startswith("notebooks/") and "body" in context:
        found = buttons(app.config.launch_repository, f"{pagename}.ipynb")
        context["body"] = context["body"].replace("</h1>", f"</h1>\n{found}", 1)


def setup(app: Any) -> dict[str, bool]:
    """Register the extension."""
    app.add_config_value("launch_repository", "", "env", [str])
    app.add_directive("launch-links", LinksDirective)
    app.add_directive("launch-line", LineDirective)
    app.connect("html-page-context", add_buttons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
