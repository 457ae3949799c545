"""What a notebook hands to the text around its cells: numbers to quote, and tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from IPython.display import Markdown

_MINUS = re.compile(r"(\$[^$]*\$)|(?<![\w)\]])-(?=\d)")
"""A hyphen before a number that stands for a minus; formulas between dollars stay as they are."""
RECORD = "application/papermill.record/"
"""The kind of output that holds a number for the text, and shows nothing by itself (MyST-NB's "glue")."""


def typeset(text: str) -> str:
    """Return a text with minus signs before its numbers, where Python writes hyphens.

    >>> typeset("-4.2 ± 0.1 (5-way, -3 to 2), 7e-06, $-1$")
    '−4.2 ± 0.1 (5-way, −3 to 2), 7e-06, $-1$'
    """
    return _MINUS.sub(lambda found: found[1] or "−", text)


def tell(**numbers: str) -> None:
    """Hand numbers to the text of the page, which quotes them as {measured}`name`.

    They are outputs of the cell like all others: committed with the notebook, and compared when it is
    executed again.

    Args:
        numbers: what the text is to say, by name; as rounded as everything that a notebook prints.
    """
    from IPython.display import display

    for name, text in numbers.items():
        about = {"scrapbook": {"name": name, "mime_prefix": RECORD}}
        display({f"{RECORD}text/plain": repr(typeset(text))}, raw=True, metadata=about)


def table(rows: pd.DataFrame, text: Sequence[str] = ()) -> Markdown:
    """Return a table as the page shows it: its columns, without the index, numbers flush right.

    Args:
        rows: texts and numbers, numbers already rounded to what is to be seen.
        text: the columns that are words and stand flush left; by default the first one.
    """
    from IPython.display import Markdown

    left = set(text) or {rows.columns[0]}
    head = [list(map(str, rows.columns)), [":--" if name in left else "--:" for name in rows.columns]]
    body = [[typeset(str(value)) for value in row] for row in rows.itertuples(index=False)]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in [*head, *body]))
