"""`make pdf`: the book on paper."""

import re
from pathlib import Path

import pytest

from scripts import pdf
from tests.book.sources import ROOT, python

PAGE = """<!doctype html><title>A book</title>
<h1>A chapter</h1><details class="deeper"><summary>More</summary><p>What was folded</p></details>"""


@pytest.mark.xdist_group("book")
def test_a_page_is_printed_with_what_is_folded(browser, tmp_path: Path):
    source, target = tmp_path / "index.html", tmp_path / "made" / "book.pdf"
    source.write_text(PAGE)
    opened = browser.new_page()
    opened.goto(source.as_uri())
    assert not opened.get_by_text("What was folded").is_visible()
    opened.evaluate(pdf.PREPARE)
    assert opened.get_by_text("What was folded").is_visible()
    opened.close()
    result = python("scripts/pdf.py", source, target)
    assert result.returncode == 0, result.stdout
    assert target.read_bytes().startswith(b"%PDF-")


@pytest.mark.xdist_group("book")
def test_what_is_folded_takes_its_pages_in_the_pdf(browser, tmp_path: Path):
    folded = PAGE.replace("What was folded", "<br>".join(["A line"] * 300))
    pages = []
    for text in (PAGE, folded):
        (tmp_path / "index.html").write_text(text)
        assert python("scripts/pdf.py", tmp_path / "index.html", tmp_path / "book.pdf").returncode == 0
        pages.append(len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "book.pdf").read_bytes())))
    assert pages[0] == 1
    assert pages[1] > 2


@pytest.mark.xdist_group("book")
def test_a_picture_that_is_missing_is_told_and_nothing_is_printed(browser, tmp_path: Path):
    (tmp_path / "index.html").write_text(f'{PAGE}<img src="lost/slide.svg" alt="">')
    result = python("scripts/pdf.py", tmp_path / "index.html", tmp_path / "book.pdf")
    assert result.returncode == 2
    assert result.stdout.strip().endswith("shows pictures that are not there: lost/slide.svg")
    assert not (tmp_path / "book.pdf").exists()


def test_without_a_book_one_line_says_what_builds_it(tmp_path: Path):
    result = python("scripts/pdf.py", tmp_path / "nothing.html", tmp_path / "book.pdf")
    assert result.returncode == 2
    assert result.stdout.splitlines() == [f"{tmp_path / 'nothing.html'} does not exist; `make pdf` builds it"]
    assert not (tmp_path / "book.pdf").exists()


def test_the_pages_are_published_only_after_the_two_commands():
    workflow = (ROOT / ".github" / "workflows" / "pages.yml").read_text()
    assert workflow.index("bash .ci/run") < workflow.index("make book") < workflow.index("deploy-pages")
