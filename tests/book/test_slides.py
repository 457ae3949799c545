"""Slides are wide, have large type, come out the same every time, and are explained on a page."""

import re
import struct
from pathlib import Path

import pytest
from matplotlib import pyplot as plt
from matplotlib.text import Text

from companion.slides import FORMS, PIXELS, SIZE, SLIDES, main, render
from tests.book.sources import NOTEBOOKS, ROOT

RESULTS = ROOT / "results"
CHEAP = next(slide for slide in SLIDES if slide.name == "table2")


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    one, other = (tmp_path_factory.mktemp("slides") for _ in range(2))
    return render(CHEAP, RESULTS, one), render(CHEAP, RESULTS, other)


def test_the_same_results_give_the_same_bytes(twice):
    for one, other in zip(*twice, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.suffix


def test_a_slide_fills_a_screen(twice):
    png = next(file for file in twice[0] if file.suffix == ".png").read_bytes()
    assert struct.unpack(">II", png[16:24]) == (PIXELS, 1080)
    assert SIZE[0] / SIZE[1] == pytest.approx(16 / 9)


def test_the_smallest_type_is_a_fortieth_of_the_height():
    canvas = CHEAP.draw(RESULTS)
    canvas.set_size_inches(*SIZE)
    canvas.draw_without_rendering()
    texts = [text for text in canvas.findobj(Text) if text.get_text().strip() and text.get_visible()]
    assert len(texts) > 5
    assert min(text.get_fontsize() for text in texts) / 72 / SIZE[1] > 1 / 40
    plt.close(canvas)


def test_every_slide_has_a_page_that_explains_it():
    sources = "".join(path.read_text() for path in NOTEBOOKS)
    assert all(f'"name": "{slide.page}"' in sources for slide in SLIDES)
    assert len({slide.name for slide in SLIDES}) == len(SLIDES)


@pytest.mark.xdist_group("book")
def test_the_book_carries_every_slide_in_every_form(book):
    page = (book / "book" / "slides.html").read_text()
    for slide in SLIDES:
        for form in FORMS:
            assert (book / "_static" / "slides" / f"{slide.name}.{form}").stat().st_size > 1000
            assert f"{slide.name}.{form}" in page
    images = re.findall(r'<img [^>]*class="slide"[^>]*>', page)
    assert len(images) == len(SLIDES)
    assert all(re.search(r'alt="[^"]{10,}"', image) for image in images)


def test_without_a_folder_the_command_says_what_it_wants(capsys):
    assert main([]) == 2
    assert capsys.readouterr().err == "usage: python -m companion.slides FOLDER\n"


def test_without_results_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["slides"]) == 2
    assert "there is no result" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
