"""Names in any script: drawn with an installed font that has their letters, or said once which font to install."""

import numpy as np
import pytest
from fontTools.ttLib import TTCollection, TTFont
from matplotlib import font_manager
from PIL import Image

from keraskit.results import fonts, plots

DEFAULT = font_manager.findfont("DejaVu Sans")


def has(path, letters):
    """Whether a font file has these letters, as another library reads it."""
    try:
        font = TTCollection(path, lazy=True).fonts[0] if path.endswith(".ttc") else TTFont(path, lazy=True)
        return set(map(ord, letters)) <= set(font.getBestCmap() or ())
    except Exception:
        return False


def pixels(tmp_path, *classes):
    """A confusion matrix and a sheet with these names."""
    plots.confusion(np.array([[345, 92], [140, 297]]), classes, tmp_path / "confusion.png")
    plots.sheet(np.zeros((2, 8, 8), np.uint8), classes, tmp_path / "sheet.png")
    return [np.asarray(Image.open(tmp_path / name)).tobytes() for name in ("confusion.png", "sheet.png")]


@pytest.fixture
def installed(monkeypatch):
    """Have these font files installed, and none known of before but matplotlib's own."""

    def forget():
        for cache in (fonts._covering, fonts._advise, font_manager.fontManager._findfont_cached):
            cache.cache_clear()

    def install(*paths):
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [DEFAULT, *paths])
        own = [font for font in font_manager.fontManager.ttflist if "mpl-data" in font.fname]
        monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
        forget()

    yield install
    forget()


def test_an_installed_font_that_has_the_letters_is_used(tmp_path, installed, capsys):
    path = next((path for path in sorted(font_manager.findSystemFonts()) if has(path, "猫狗")), None)
    if path is None:
        pytest.skip("no installed font has the letters 猫 and 狗; apt-get install fonts-wqy-zenhei brings one")
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    installed(str(tmp_path / "damaged.ttf"), path)
    assert len(fonts.families("猫 and 狗")) == 1
    drawn, again, other = (pixels(tmp_path, *names) for names in (("猫", "狗"), ("猫", "狗"), ("狗", "猫")))
    assert drawn == again and all(one != two for one, two in zip(drawn, other, strict=True))
    assert capsys.readouterr().out == ""


def test_without_such_a_font_one_line_says_which_to_install(tmp_path, installed, capsys):
    installed(str(tmp_path / "gone.ttf"))
    drawn, other = pixels(tmp_path, "猫", "狗"), pixels(tmp_path, "狗", "猫")
    assert drawn == other, "a box is as good as another"
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and said.endswith("install Noto Sans CJK\n")


@pytest.mark.parametrize(
    ("name", "font"),
    [
        ("ねこ", "Noto Sans CJK"),
        ("고양이", "Noto Sans CJK"),
        ("बिल्ली", "Noto Sans Devanagari"),
        ("แมว", "Noto Sans Thai"),
        ("🐶", "Noto Emoji"),
    ],
)
def test_the_font_to_install_is_that_of_the_script(name, font, installed, capsys):
    installed()
    assert fonts.families(name) == []
    assert capsys.readouterr().out.endswith(f"install {font}\n")


def test_no_font_is_looked_for_where_the_default_has_all(tmp_path, monkeypatch):
    monkeypatch.setattr(font_manager, "findSystemFonts", None)
    fonts._covering.cache_clear()
    pixels(tmp_path, "cat", "dog")
    pixels(tmp_path, "кошка", "قطة é ½ \udcff\x1b")  # what no terminal can show is drawn as escapes
