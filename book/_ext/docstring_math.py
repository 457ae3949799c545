"""Docstrings write mathematics as characters, such as `φ_{i+1} = φ_i − α g_i`; here it becomes LaTeX."""

from __future__ import annotations

import re
import unicodedata

SYMBOLS = {
    "α": r"\alpha",
    "β": r"\beta",
    "γ": r"\gamma",
    "ε": r"\epsilon",
    "λ": r"\lambda",
    "π": r"\pi",
    "σ": r"\sigma",
    "τ": r"\tau",
    "φ": r"\phi",
    "Σ": r"\sum",
    "∂": r"\partial",
    "∇": r"\nabla",
    "·": r"\cdot",
    "×": r"\times",
    "±": r"\pm",
    "−": "-",
    "–": "-",
    "…": r"\dots",
    "→": r"\to",
    "←": r"\leftarrow",
    "↦": r"\mapsto",
    "≡": r"\equiv",
    "≈": r"\approx",
    "≤": r"\le",
    "≥": r"\ge",
    "∈": r"\in",
    "~": r"\sim",
    "⟨": r"\langle",
    "⟩": r"\rangle",
    "⌈": r"\lceil",
    "⌉": r"\rceil",
    "⌊": r"\lfloor",
    "⌋": r"\rfloor",
    "‖": r"\Vert",
    "½": r"\tfrac12",
    "²": "^2",
    "⁻": "^{-1}",
    "¹": "",
    "ᵀ": r"^\top",
}
ACCENTS = {"\u0304": r"\bar", "\u0302": r"\hat", "\u0303": r"\tilde"}
FUNCTIONS = ("sin", "cos", "log", "argmin")
STRONG = re.compile(r"[αβγελπστφΣ∂∇√‖⟨⌊⌈½²⁻ᵀ↦←≡≈∈]|[\u0302-\u0304]|\b\w_[\w{]|\b[A-Z]'*[\[(]|\^")
"""What occurs in mathematics alone."""
OPERATOR = re.compile(r"[=+−·/→←↦≡≈∈~×><]|…|:=")
WEAK = re.compile(r"[A-Za-z]'*|[\d.]+|[\d.]*[A-Za-z\d]*[!^/−·+][A-Za-z\d!^/−·+]*")


def to_latex(formula: str) -> str:
    r"""Return a formula as LaTeX.

    >>> to_latex("φ_{i+1} = φ_i − α ḡ_i²")
    '\\phi_{i+1} = \\phi_i - \\alpha\\bar{g}_i^2'
    >>> to_latex("√n · g_MAML")
    '\\sqrt{n}\\cdot g_{\\mathrm{MAML}}'
    >>> to_latex("β1 = 0")
    '\\beta_1 = 0'
    """
    text = unicodedata.normalize("NFD", formula)
    text = re.sub(r"(?<=[α-ω])(?=\d)", "_", text)
    text = re.sub(r"(?<![_^])\{([^{}]*)\}", r"\\{\1\\}", text)
    text = re.sub(r"√(\w[\u0302-\u0304]?)", r"\\sqrt{\1}", text)
    text = re.sub(r"√\(((?:[^()]|\([^()]*\))*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"(\w)([\u0302-\u0304])", lambda found: f"{ACCENTS[found[2]]}{{{found[1]}}}", text)
    text = re.sub(r"(?<![A-Za-z\\])(\w)_([A-Za-z]{2,})", r"\1_{\\mathrm{\2}}", text)
    text = re.sub(r"(?<![\\{A-Za-z_])[A-Za-z]{2,}(?:_[A-Za-z]{2,})*(?![A-Za-z_]*})", _name, text)
    latex = "".join(_symbol(character) for character in text)
    return re.sub(r"(?<=[A-Za-z}]) +(?=[ _^)}\]\\]|$)", "", latex)


def _name(found: re.Match[str]) -> str:
    """Return a word inside a formula: a known function, an identifier, or upright text."""
    word = found[0]
    if word in FUNCTIONS:
        return rf"\{word} " if word != "argmin" else r"\operatorname{argmin}"
    escaped = word.replace("_", r"\_")
    return rf"\texttt{{{escaped}}}" if "_" in word else rf"\mathrm{{{word}}}"


def _symbol(character: str) -> str:
    latex = SYMBOLS.get(character, character)
    return f"{latex} " if re.fullmatch(r"\\[A-Za-z]+", latex) else latex


def formulas(text: str) -> list[tuple[int, int]]:
    """Return from where to where the formulas of one line of text reach.

    >>> line = "Return Σ c_i g_i for i = 1, which is a number."
    >>> [line[start:stop] for start, stop in formulas(line)]
    ['Σ c_i g_i', 'i = 1']
    """
    tokens = [(found.start(), found.end()) for found in re.finditer(r"\S+", text)]
    kinds = [_kind(text[start:stop]) for start, stop in tokens]
    found, i = [], 0
    while i < len(tokens):
        if not _belongs(kinds, i):
            i += 1
            continue
        start, depth = i, 0
        while i < len(tokens) and (depth > 0 or _belongs(kinds, i)) and kinds[i] != "literal":
            token = text[slice(*tokens[i])]
            depth += sum(token.count(b) for b in "([{⟨") - sum(token.count(b) for b in ")]}⟩")
            i += 1
            if depth <= 0 and token[-1] in ",;:.":
                break
        span = _trimmed(text, tokens[start][0], tokens[i - 1][1])
        if span and _is_formula(text[slice(*span)]):
            found.append(span)
    return found


def _kind(token: str) -> str:
    bare = token.strip("()[]{}|,;:.")
    if "`" in token or '"' in token:
        return "literal"
    if token == "(a" or re.match(r"[A-Za-z]{2,}\)", token):  # an article, and the end of words in brackets
        return "word"
    if token.startswith(tuple(f"{name}(" for name in FUNCTIONS)):
        return "strong"
    if OPERATOR.fullmatch(bare) or (not bare and token.strip(",;:.")):
        return "operator"
    if STRONG.search(token) and not re.search(r"\b[A-Za-z]{2,}_[A-Za-z]", token):
        return "strong"
    return "weak" if WEAK.fullmatch(bare) else "word"


def _belongs(kinds: list[str], i: int) -> bool:
    """Say whether a token is part of a formula; a word is only next to an operator."""
    if kinds[i] != "word":
        return kinds[i] != "literal"
    return "operator" in kinds[max(i - 1, 0) : i] and "strong" in kinds[max(i - 8, 0) : i + 4]


def _trimmed(text: str, start: int, stop: int) -> tuple[int, int] | None:
    """Cut off punctuation, loose operators and brackets without a partner at both ends."""
    while start < stop:
        inside = text[start:stop]
        if inside[-1] in ",;:. …=+−·/→×~" and not inside.endswith("…, …"):
            stop -= 1
        elif inside[0] in ",;:. …=+·/→×~" or (inside[0] == "−" and inside[1:2] == " "):
            start += 1
        elif inside[-1] in ")]}" and not _balanced(inside):
            stop -= 1
        elif inside[0] in "([{" and not _balanced(inside):
            start += 1
        else:
            return start, stop
    return None


def _balanced(text: str) -> bool:
    """Say whether every bracket has a partner; intervals may be half open."""
    return sum(text.count(b) for b in "([⟨") == sum(text.count(b) for b in ")]⟩")


def _is_formula(text: str) -> bool:
    """Say whether a run of tokens is mathematics, and not a letter or a number in a sentence."""
    if re.fullmatch(r"[\d.,\s]+|[\d.]+[×/][\d.]+(×\d+)?", text):
        return False
    has_operator = re.search(r"[A-Za-z\d)\]] [=+−·/→×><] [A-Za-z\d(\[−]", text) is not None
    return bool(STRONG.search(text)) or has_operator
