"""The reference: every module of the library once, its mathematics as LaTeX."""

import ast
import re

import pytest
from bs4 import BeautifulSoup
from docstring_math import formulas, to_latex
from reference import restructured

from tests.book.sources import ROOT

MODULES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for path in (ROOT / "metalib").rglob("*.py")
    if path.name != "__init__.py"
)
PAGES = sorted((ROOT / "book").glob("reference*.md"))


def test_every_module_of_the_library_is_listed_once():
    listed = [name for page in PAGES for name in re.findall(r"automodule:: (metalib\.\S+)", page.read_text())]
    assert sorted(listed) == MODULES


@pytest.mark.xdist_group("book")
def test_every_documented_function_and_class_is_on_its_page(book):
    for page in PAGES:
        anchors = {
            tag["id"]
            for tag in BeautifulSoup((book / f"book/{page.stem}.html").read_text(), "html.parser").find_all(
                id=True
            )
        }
        for module in re.findall(r"automodule:: (metalib\.\S+)", page.read_text()):
            tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
            for node in tree.body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                    assert f"{module}.{node.name}" in anchors


@pytest.mark.xdist_group("book")
def test_no_first_half_of_a_description_is_taken_for_a_type(book):
    for page in PAGES:
        text = BeautifulSoup((book / f"book/{page.stem}.html").read_text(), "html.parser")
        taken = [field.find_next("dd").text for field in text.select("dt") if field.text.startswith("Type")]
        assert not taken, (
            f"{page.stem}: docstrings of values and properties hold no colon in their first line"
        )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Return ⟨a, b⟩ over all weights (and a stack of one).", ["⟨a, b⟩"]),
        ("weights: c_1 … c_k, or a row of them per run, of shape [runs, k].", ["c_1 … c_k"]),
        ("Return (1, −2(k−1)α), the coefficients of E[g_MAML].", ["(1, −2(k−1)α)", "E[g_MAML]"]),
        ("`phi[0]` is φ_1 (Nichol et al. 2018, Eq. 9).", ["φ_1"]),
        ("Return 28×28 images, a stack of 5, as `loss_before` in avg_grad_inner.", []),
        ("f_τ(x) = a sin(x + b) on [−5, 5].", ["f_τ(x) = a sin(x + b)"]),
    ],
)
def test_formulas_are_told_from_words(text, found):
    assert [text[start:stop] for start, stop in formulas(text)] == found


@pytest.mark.parametrize(
    ("formula", "latex"),
    [
        ("W = {φ : A φ = b}", r"W = \{\phi : A\phi = b\}"),
        ("φ − Aᵀ (A Aᵀ)⁻¹ b", r"\phi - A^\top (A A^\top)^{-1} b"),
        ("√(6 / (m + n))", r"\sqrt{6 / (m + n)}"),
        ("α Σ_{j<k} H̄_j ḡ_k", r"\alpha\sum_{j<k}\bar{H}_j\bar{g}_k"),
    ],
)
def test_formulas_become_latex(formula, latex):
    assert to_latex(formula) == latex


def test_code_stays_and_equations_become_links():
    lines = ["Return `x*y` by *hand* (Eqs. 38 and 40):", "", "    c_1 = `x`", "", ">>> c_1 * 2"]
    assert restructured(lines) == [
        r"Return ``x*y`` by *hand* (Eqs. \ :ref:`38 <eq-38>`\  and \ :ref:`40 <eq-40>`\ )::",
        *lines[1:],
    ]
