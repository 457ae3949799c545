"""How to cite: the companion, one of its figures, the paper; made from CITATION.cff."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

BOOK = "First-order meta-learning, executed"
STYLES = ("BibTeX", "APA", "Plain text")


@dataclass(frozen=True)
class Companion:
    """What CITATION.cff says of the companion."""

    authors: str
    title: str
    year: str
    version: str

    @classmethod
    def read(cls, root: Path) -> "Companion":
        """Read the file at the root."""
        told = yaml.safe_load((root / "CITATION.cff").read_text())
        authors = [a.get("name") or f"{a['family-names']}, {a['given-names']}" for a in told["authors"]]
        return cls(" and ".join(authors), told["title"], str(told["date-released"])[:4], told["version"])


def bibtex(kind: str, key: str, **fields: str) -> str:
    """Return an entry; braces around each title keep its capitals.

    >>> print(bibtex("misc", "a", title="On MAML", year="2018", url=""))
    @misc{a,
      title = {{On MAML}},
      year = {2018}
    }
    """
    kept = {name: text for name, text in fields.items() if text}
    lines = [f"  {name} = {_braced(name, text)}" for name, text in kept.items()]
    return "\n".join([f"@{kind}{{{key},", ",\n".join(lines), "}"])


def _braced(name: str, text: str) -> str:
    text = re.sub(r'"([^"]*)"', r"``\1''", text) if name != "url" else text
    whole = name == "title" or (name == "author" and " and " not in text and "," not in text)
    return f"{{{{{text}}}}}" if whole else f"{{{text}}}"


def of_figure(companion: Companion, name: str, title: str, address: str) -> dict[str, str]:
    """Return the citation of a figure in every style.

    Args:
        companion: what it is a figure of.
        name: its name, which stays.
        title: what it is called.
        address: where it stands, on the web if the book is there, else inside the book.
    """
    note = f"Figure {name} of {BOOK}, version {companion.version}"
    place = {"url": address} if "://" in address else {"howpublished": address}
    return {
        "BibTeX": bibtex(
            "misc",
            f"companion-{name}",
            title=title,
            author=companion.authors,
            year=companion.year,
            note=note,
            **place,
        ),
        "APA": f"{companion.authors}. ({companion.year}). {title} [Figure]. In {BOOK} "
        f"(Version {companion.version}). {address}",
        "Plain text": f"{title}. Figure {name} of “{companion.title}”, version {companion.version}, "
        f"{companion.year}. {address}",
    }


def of_companion(companion: Companion, address: str) -> dict[str, str]:
    """Return the citation of the whole companion in every style."""
    version = f"Version {companion.version}"
    where, who = (f". {address}" if address else ""), f"{companion.authors}. ({companion.year})"
    return {
        "BibTeX": bibtex(
            "misc",
            "companion-first-order",
            title=companion.title,
            author=companion.authors,
            year=companion.year,
            note=version,
            url=address,
        ),
        "APA": f"{who}. {companion.title} ({version}) [Computer software]{where}",
        "Plain text": f"{companion.title}. {version}, {companion.year}{where}",
    }


def of_paper() -> dict[str, str]:
    """Return the citation of the paper in every style."""
    title = "On First-Order Meta-Learning Algorithms"
    address = "https://arxiv.org/abs/1803.02999"
    return {
        "BibTeX": bibtex(
            "article",
            "nichol2018firstorder",
            title=title,
            author="Nichol, Alex and Achiam, Joshua and Schulman, John",
            year="2018",
            journal="arXiv preprint arXiv:1803.02999",
            url=address,
        ),
        "APA": f"Nichol, A., Achiam, J., & Schulman, J. (2018). {title}. arXiv. {address}",
        "Plain text": f"Alex Nichol, Joshua Achiam, John Schulman. {title}. arXiv, 2018. {address}",
    }
