"""Print the book, built as one page, into a PDF.

python scripts/pdf.py _build/pdf/_build/singlehtml/index.html _build/book.pdf
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import PdfMargins, sync_playwright

from metalib.store import written_beside

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu")
MARGINS: PdfMargins = {"top": "18mm", "bottom": "18mm", "left": "16mm", "right": "16mm"}
FOOTER = (
    '<div style="width: 100%; text-align: center; font: 8pt sans-serif; color: #555">'
    '<span class="pageNumber"></span></div>'
)
PREPARE = """async () => {
  // Paper cannot be clicked: what is folded opens, and what loads on sight loads now.
  document.querySelectorAll('details.deeper').forEach(part => { part.open = true; });
  await Promise.all([...document.images].map(image => {
    image.loading = 'eager';
    return image.decode().catch(() => null);
  }));
  await window.MathJax?.startup?.promise;
  return [...document.images].filter(image => !image.naturalWidth).map(image => image.getAttribute('src'));
}"""


def browser() -> str | None:
    """Return the program of a Chromium or Chrome, or nothing if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def missing() -> str | None:
    """Say what cannot be printed with; nothing if there is a browser."""
    if browser() is None:
        return "There is no Chromium or Chrome to print the book with; on Debian: apt-get install chromium"
    return None


def write(source: Path, target: Path) -> None:
    """Print a page of HTML into a PDF with an outline, A4, page numbers at the foot; all or nothing.

    Raises:
        FileNotFoundError: if pictures of the page are not where it says.
    """
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=FLAGS)
        page = chromium.new_page(color_scheme="light")
        page.set_default_timeout(0)  # a whole book of formulas takes its time
        page.goto(source.resolve().as_uri(), wait_until="load")
        if lacking := page.evaluate(PREPARE):
            raise FileNotFoundError(f"{source} shows pictures that are not there: {', '.join(lacking)}")
        printed = page.pdf(
            format="A4",
            scale=0.8,
            margin=MARGINS,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOTER,
            print_background=True,
            outline=True,
            tagged=True,
        )
        chromium.close()
    with written_beside(target) as new:
        new.write_bytes(printed)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the book as one page of HTML")
    parser.add_argument("target", type=Path, help="the PDF")
    arguments = parser.parse_args()
    if lack := missing():
        print(lack, file=sys.stderr)
        return 2
    if not arguments.source.is_file():
        print(f"{arguments.source} does not exist; `make pdf` builds it", file=sys.stderr)
        return 2
    try:
        write(arguments.source, arguments.target)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
