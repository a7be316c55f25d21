"""Fonts for letters that matplotlib's own one lacks: finds installed ones that have them, or says what to install."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

NO_LETTERS = re.compile("last ?resort|color ?emoji", re.IGNORECASE)  # fonts of boxes, and of bitmaps
EAST_ASIAN = {"BOPOMOFO", "CJK", "FULLWIDTH", "HALFWIDTH", "HANGUL", "HIRAGANA", "IDEOGRAPHIC", "KATAKANA"}


def families(text: str) -> list[str]:
    """Families that have what the default font lacks of a text, as far as such are installed.

    Where no font has some letter, one line says which to install: once for each script.
    """
    if text.isascii():
        return []
    default = FT2Font(str(font_manager.findfont(font_manager.FontProperties())))
    found, lacking = _covering(frozenset(text) - _had(default, text) - set(" \n"))
    for script in sorted({_script(letter) for letter in lacking}):
        _advise(script)
    return found


@functools.cache
def _covering(letters: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """The fewest families that have these letters, known to matplotlib from now on; and the letters that none has."""
    fonts = []
    for path in font_manager.findSystemFonts() if letters else ():  # its own list is from when it was first used
        with suppress(Exception):  # of damaged fonts, which matplotlib's own search passes over as well
            font = FT2Font(path)
            if font.scalable and not NO_LETTERS.search(path) and (has := _had(font, letters)):
                family = font_manager.ttfFontProperty(font).name
                fonts.append(((font.style_name != "Regular", "Sans" not in family), family, path, has))
    fonts.sort(key=lambda each: each[:3])
    found = []
    while letters and (best := max(fonts, key=lambda each: len(each[3] & letters), default=None)) and best[3] & letters:
        _, family, path, has = best
        font_manager.fontManager.addfont(path)
        found.append(family)
        letters -= has
    return found, letters


def _had(font: FT2Font, letters: Iterable[str]) -> frozenset[str]:
    return frozenset(letter for letter in letters if font.get_char_index(ord(letter)))


def _script(letter: str) -> str:
    """The Noto font of a letter's script: Unicode's names of letters begin with it."""
    word = unicodedata.name(letter, "").partition(" ")[0]
    if not unicodedata.category(letter).startswith(("L", "M", "N")):
        return "Noto Emoji"
    return f"Noto Sans {'CJK' if word in EAST_ASIAN else word.title()}"


@functools.cache
def _advise(font: str) -> None:
    print(f"NOTE           no installed font has all letters of the names, so pictures show boxes: install {font}")
