"""Writers as clients: whoever wrote an alphabet holds one drawing of each of its characters.

Of Omniglot, twenty people wrote every alphabet, and each of them is a client. Of the glyphs, every face of a
font that has a script's letters is one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from companion.glyphs.rendering import faces_of_renditions
from metalib.data.classes import ClassPool
from metalib.data.glyphs import letters
from metalib.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Int

KNOWN, NEW = "known alphabet", "new alphabet"
OMNIGLOT = (
    "Alphabet of the Magi 20, Anglo-Saxon Futhorc 29, Arcadian 26, Armenian 41, Asomtavruli 40, Balinese 24, "
    "Bengali 46, Blackfoot 14, Braille 26, Burmese 34, Cyrillic 33, Early Aramaic 22, Futurama 26, "
    "Grantha 43, Greek 24, Gujarati 48, Hebrew 22, Inuktitut 16, Hiragana 52, Katakana 47, Korean 40, "
    "Latin 26, Malay 40, Mkhedruli 41, N'Ko 33, Ojibwe 14, Sanskrit 42, Syriac (Estrangelo) 23, Tagalog 17, "
    "Tifinagh 55, Angelic 20, Atemayar Qelisayer 26, Atlantean 26, Aurek-Besh 26, Avesta 26, Ge'ez 26, "
    "Glagolitic 45, Gurmukhi 45, Kannada 41, Keble 26, Malayalam 47, Manipuri 40, Mongolian 30, "
    "Old Church Slavonic 45, Oriya 46, Sylheti 28, Syriac (Serto) 23, Tengwar 25, Tibetan 42, ULOG 26"
)
"""The alphabets in the order of the archives, with their characters; the first 30 are for training."""
BACKGROUND = 30
NEW_SCRIPTS = ("GEORGIAN", "LAO")
FEWEST = 10
"""Characters that a client must have: five to learn from and five to be tested on."""


@dataclass(frozen=True)
class Writer:
    """A client: one hand and one alphabet.

    Attributes:
        alphabet: what was written.
        hand: who wrote it, counted within the alphabet.
        kind: `KNOWN` if other hands' drawings of the alphabet are trained on, `NEW` if none is.
        training: whether this one's are.
        places: its drawings, one of each character, as places in the pool.
    """

    alphabet: str
    hand: int
    kind: str
    training: bool
    places: Int[np.ndarray, " characters"]


def writers(pool: ClassPool) -> list[Writer]:
    """Return all clients of Omniglot or of the glyphs; every fourth hand of a known alphabet is held out.

    Args:
        pool: which of the two.

    Raises:
        InputError: if it is another pool: who wrote its images is not known.
    """
    if pool.name == "Omniglot":
        names, sizes = zip(*(entry.rsplit(" ", 1) for entry in OMNIGLOT.split(", ")), strict=True)
        alphabets = np.repeat(names, [int(size) for size in sizes])
        hands = np.tile(np.arange(pool.images.shape[1]), (len(alphabets), 1))
        new: Sequence[str] = names[BACKGROUND:]
    elif pool.name == "Glyphs":
        alphabets = np.array([unicodedata.name(letter).split()[0] for letter in letters()])
        hands, new = faces_of_renditions(), NEW_SCRIPTS
    else:
        raise InputError(f"who wrote the images of {pool.name} is not known; take Omniglot or the glyphs")
    found = []
    for alphabet in dict.fromkeys(alphabets.tolist()):
        for hand in np.unique(hands[alphabets == alphabet]).tolist():
            classes, images = np.nonzero((hands == hand) & (alphabets == alphabet)[:, None])
            classes, first = np.unique(classes, return_index=True)  # one drawing of each character
            places = classes * pool.images.shape[1] + images[first]
            kind = NEW if alphabet in new else KNOWN
            if len(places) >= FEWEST:
                training = kind == KNOWN and hand % 4 != 3
                found.append(Writer(alphabet, int(hand), kind, training, places))
    return found
