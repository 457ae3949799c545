"""Every figure of the book can be taken away and cited, and says how it was made."""

import io
import json
import re
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import figure_citations
import figure_making
import figure_sources
import jsonschema
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup, Tag
from PIL import Image
from pybtex.database import parse_string

import metalib
from companion.catalogue import EXPERIMENTS
from companion.publishing.table import COLUMNS
from metalib.errors import InputError
from tests.book.sources import NOTEBOOKS, ROOT, pages

LISTED = figure_sources.listed(ROOT)
COMPUTED = {name for path in NOTEBOOKS for name in figure_sources.kept(path)}
ONLY_PICTURES = {"fig-glyphs", "fig-fewshot-task"}
"""Figures that draw nothing but images: they have no table."""

of_the_book = pytest.mark.xdist_group("book")


@pytest.fixture(scope="module")
def lines(book: Path) -> dict[str, tuple[str, Tag]]:
    """Return the line under every figure, and the page that it stands on."""
    found = {}
    for page in pages():
        html = BeautifulSoup((book / f"{page}.html").read_text(), "html.parser")
        for line in html.select("div.figure-line"):
            name = str(line["id"]).removeprefix("take-")
            assert html.find(id=name), "the line stands under its figure"
            assert name not in found
            found[name] = (page, line)
    return found


def target(book: Path, page: str, link: Tag) -> Path:
    return ((book / page).parent / urlsplit(str(link["href"])).path).resolve()


@of_the_book
def test_every_figure_of_every_page_has_its_line_and_is_listed(book, lines):
    shown = set()
    for page in pages():
        html = BeautifulSoup((book / f"{page}.html").read_text(), "html.parser")
        shown |= {figure["id"] for figure in html.select("article figure[id^=fig-]")}
        nameless = [figure for figure in html.select("article figure:has(img)") if not figure.get("id")]
        assert not nameless, page
    assert shown <= set(lines)
    assert set(lines) == set(LISTED)


@of_the_book
def test_every_link_of_a_line_leads_to_a_whole_file_of_its_kind(book, lines):
    for name, (page, line) in lines.items():
        links = {link.text: target(book, page, link) for link in line.find_all("a", recursive=False)}
        assert links.pop("permalink").suffix == ".html"
        if name in COMPUTED:
            assert set(links) | {"CSV"} == {"SVG", "PDF", "PNG (300 dpi)", "CSV"}, name
            assert ("CSV" in links) == (name not in ONLY_PICTURES), name
        for path in links.values():
            content = path.read_bytes()
            assert path.stem == name or LISTED[name].frame
            if path.suffix == ".svg":
                assert ElementTree.fromstring(content).tag.endswith("svg")
            elif path.suffix == ".pdf":
                assert content.startswith(b"%PDF")
                assert b"%%EOF" in content[-10:]
            elif path.suffix == ".png":
                with Image.open(io.BytesIO(content)) as image:
                    image.load()
                    assert name not in COMPUTED or image.info["dpi"] == pytest.approx((300, 300), rel=1e-3)
            elif path.suffix == ".csv":
                assert {"panel", "drawn", "x", "y"} <= set(pd.read_csv(path).columns)


@of_the_book
def test_a_click_on_a_picture_opens_it_by_itself(book, lines):
    for name, (page, line) in lines.items():
        vector = next((link for link in line.find_all("a", recursive=False) if link.text == "SVG"), None)
        if vector and not LISTED[name].frame:
            link = line.find_previous("figure", id=name).select_one("a:has(> img)")
            assert target(book, page, link) == target(book, page, vector), name


@of_the_book
def test_a_permalink_leads_to_the_figure(book, lines):
    for name, (page, line) in lines.items():
        (link,) = [a for a in line.find_all("a", recursive=False) if a.text == "permalink"]
        moved = target(book, page, link)
        assert moved == (book / "figures" / f"{name}.html").resolve(), (
            "the address must not depend on the page"
        )
        place = re.search(r'url=([^"]+)"', moved.read_text())
        assert place
        assert unescape(place[1]) == f"../{page}.html#{name}"


@of_the_book
def test_every_figure_can_be_cited_in_three_styles(lines):
    for name, (_, line) in lines.items():
        cite, _ = line.find_all("details", recursive=False)
        bibtex, apa, plain = (box.text for box in cite.select("div.highlight pre"))
        (entry,) = parse_string(bibtex, "bibtex").entries.values()
        assert entry.key == f"companion-{name}"
        assert entry.fields["title"].strip("{}") == LISTED[name].title
        assert entry.persons["author"]
        assert entry.fields["year"] in apa
        for text in (bibtex, apa, plain):
            assert f"figures/{name}.html" in text
            assert metalib.__version__ in text


def test_of_units_that_were_not_made_alike_all_versions_are_told():
    versions = figure_making.versions
    each = {name: {**dict.fromkeys(figure_making.TOLD, name), "device": "cpu"} for name in ("1", "2")}
    assert versions(each["1"]) == "metalib 1, python 1, torch 1, numpy 1; cpu"
    assert versions(each) == f"{versions(each['1'])}, and {versions(each['2'])}"
    assert versions({"one": each["1"], "other": each["1"]}) == versions(each["1"])


@of_the_book
def test_every_figure_says_how_it_was_made(book, lines):
    for name, (page, line) in lines.items():
        _, made = line.find_all("details", recursive=False)
        for result in LISTED[name].results:
            told = json.loads((ROOT / "results" / result / "provenance.json").read_text())
            experiment, budget = result.split("/")
            assert experiment in EXPERIMENTS
            assert f"python -m companion run {experiment} --budget {budget}" in made.text
            seeds = told["config"]["seeds"]
            assert ", ".join(map(str, seeds)) in made.text
            usual = seeds == [0, 1, 2]
            assert usual or f"--budget {budget} --seeds {','.join(map(str, seeds))}" in made.text
            assert f"torch {told['environment']['torch']}" in made.text
        for parameter in LISTED[name].parameters:
            assert f"{parameter} = " in made.text, "the notebook has no such parameter"
        assert LISTED[name].drawn or f"NB={page}.ipynb" in made.text


@of_the_book
def test_raw_results_lie_beside_the_figures_that_use_them(book, lines):
    for name, (page, line) in lines.items():
        links = {target(book, page, link) for link in line.select("details a[href*='results/']")}
        for result in LISTED[name].results:
            tables = [
                *(ROOT / "results" / result).glob("*.csv"),
                ROOT / "results" / result / "provenance.json",
            ]
            for table in tables:
                copy = (book / "results" / result / table.name).resolve()
                assert copy in links
                assert copy.read_bytes() == table.read_bytes()


@of_the_book
def test_the_gallery_shows_every_figure_once(book, lines):
    html = BeautifulSoup((book / "book" / "gallery.html").read_text(), "html.parser")
    cards = [str(card["id"]).removeprefix("card-") for card in html.select(".figure-card")]
    assert sorted(cards) == sorted(lines)
    for image in html.select(".figure-card img"):
        assert target(book, "book/gallery", Tag(name="a", attrs={"href": image["src"]})).exists()


@pytest.mark.parametrize("path", list(NOTEBOOKS), ids=lambda path: path.stem)
def test_a_notebook_holds_all_forms_of_its_figures(path):
    for name, forms in figure_sources.kept(path).items():
        expected = {"svg", "pdf", "png"} | (set() if name in ONLY_PICTURES else {"csv"})
        assert set(forms) == expected, f"{name}: execute the notebook again"
        assert len(forms["svg"]) < 300_000, f"{name}: draw fewer points, or rasterize them"


@of_the_book
def test_a_citation_is_copied_by_its_button(browser, site):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{site}/notebooks/sine.html#take-fig-sine-curves")
    line = page.locator("#take-fig-sine-curves")
    line.locator("summary", has_text="cite").click()
    boxes = line.locator("div.highlight pre")
    for i in range(3):
        line.locator("button.copybtn").nth(i).click()
        assert page.evaluate("navigator.clipboard.readText()").strip() == boxes.nth(i).text_content().strip()
    context.close()


@of_the_book
def test_figures_are_legible_and_do_not_glare_in_the_dark(browser, site):
    for scheme, paper in (("light", 255), ("dark", 25)):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(f"{site}/notebooks/sine.html")
        shot = page.locator("#fig-sine-adaptation img").screenshot()
        context.close()
        with Image.open(io.BytesIO(shot)) as image:
            histogram = image.convert("L").histogram()
        most = max(range(256), key=histogram.__getitem__)
        ink = [level for level in range(256) if histogram[level] and abs(level - most) > 120]
        assert most == pytest.approx(paper, abs=15)
        assert ink, "letters stand out from the paper"


def test_a_figure_without_a_title_or_with_a_result_that_is_not_stored_is_refused(tmp_path):
    (tmp_path / "book").mkdir()
    for text in (
        "fig-a: {parameters: [seed]}",
        "fig-a: {title: A, colour: red}",
        "fig-a: {title: A, results: [b/c]}",
    ):
        (tmp_path / figure_sources.LIST).write_text(text)
        with pytest.raises(InputError, match="fig-a"):
            figure_sources.listed(tmp_path)


def test_settings_of_a_result_are_told_in_words():
    run = {"algorithm": "reptile", "k": 5, "alpha": 0.02, "epsilon": 0.1}
    units = [{"family": {"batch": 10}, "runs": [{**run, "epsilon": i / 10} for i in range(1, 9)]}]
    told = figure_making.settings({"units": units})
    assert told == [
        "method: reptile", "inner steps k: 5", "inner step size α: 0.02",
        "outer step size ε: 0.1 to 0.8 (8 values)", "images or points per minibatch: 10",
    ]  # fmt: skip


def test_citation_file_follows_the_schema_of_its_format():
    schema = json.loads((ROOT / "tests" / "book" / "schemas" / "cff-1.2.0.json").read_text())
    told = yaml.load((ROOT / "CITATION.cff").read_text(), Loader=yaml.BaseLoader)
    checker = jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())
    assert not list(checker.iter_errors(told))
    assert list(checker.iter_errors({**told, "type": "book"})), "the schema refuses what it does not know"


def test_the_gallery_explains_every_column_of_a_table():
    text = (ROOT / "book" / "gallery.md").read_text()
    explained = set(re.findall(r"`(\w+)`", text.split("## What the columns")[1])) | {"x_high", "y_low"}
    assert explained == set(COLUMNS)


def test_companion_and_paper_can_be_cited():
    companion = figure_citations.Companion.read(ROOT)
    for texts in (figure_citations.of_companion(companion, ""), figure_citations.of_paper()):
        (entry,) = parse_string(texts["BibTeX"], "bibtex").entries.values()
        assert entry.persons["author"]
        assert entry.fields["title"]
        assert entry.fields["year"]
    assert len(entry.persons["author"]) == 3
