"""What is taken out of the pages is what no page uses, and what is written is the same each time."""

import doctest
import importlib.util
import re
import sys
from xml.etree import ElementTree

import light_pages
import pytest
from fontTools.ttLib import TTFont

from tests.book.sources import ROOT

WITH_EXAMPLES = [
    path
    for place in ("book/_ext", "scripts")
    for path in ROOT.glob(f"{place}/*.py")
    if re.search(r"^ +>>> ", path.read_text(), re.MULTILINE)
]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_examples_in_extensions_and_scripts_are_true(path, monkeypatch):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where doctest looks for what is cached
    spec.loader.exec_module(module)
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def test_a_font_holds_the_icons_that_are_shown_and_its_bytes_stay(tmp_path):
    shown = {0xF0C9, 0xF002}
    for name in ("a.ttf", "b.ttf"):
        light_pages.write_font(shown, tmp_path / name)
    with TTFont(tmp_path / "a.ttf") as font:
        assert set(font.getBestCmap()) == shown
    assert (tmp_path / "a.ttf").read_bytes() == (tmp_path / "b.ttf").read_bytes()


def test_rules_for_what_scripts_put_together_and_for_elements_stay():
    style = ".bs-tooltip-end .arrow{a:b}p,.gone{c:d}a:not(.gone,.too){e:f}.gone>p{g:h}@font-face{i:j}"
    kept = ".bs-tooltip-end .arrow{a:b}p{c:d}a:not(.gone,.too){e:f}@font-face{i:j}"
    assert light_pages.applying(style, {"arrow"}) == kept


def test_a_dense_picture_draws_the_same():
    svg = '<svg>\n <!-- 1e-3 -->\n <path d="M 1.5 -2 \nL 3 4e-05 \nz\n"/>\n</svg>\n'
    (path,) = ElementTree.fromstring(light_pages.dense(svg))
    assert path.get("d") == "M1.5 -2L3 4e-05z"
