"""Names in any script: drawn with an installed font that has their letters, or matplotlib warns."""

import numpy as np
import pytest
from fontTools.ttLib import TTCollection, TTFont
from matplotlib import font_manager
from PIL import Image

from keraskit.runs import plots


def has(path, letters):
    """Whether a font file has these letters, as another library reads it."""
    font = TTCollection(path, lazy=True).fonts[0] if path.endswith(".ttc") else TTFont(path, lazy=True)
    return set(map(ord, letters)) <= set(font.getBestCmap() or ())


def pixels(tmp_path, *classes):
    """A confusion matrix and a sheet with these names."""
    plots.confusion(np.array([[345, 92], [140, 297]]), classes, tmp_path / "confusion.png")
    plots.sheet(np.zeros((2, 8, 8), np.uint8), classes, tmp_path / "sheet.png")
    return [np.asarray(Image.open(tmp_path / name)).tobytes() for name in ("confusion.png", "sheet.png")]


@pytest.fixture
def known(monkeypatch):
    """Have matplotlib know its own fonts and these."""

    def forget():
        for cache in (plots._families, font_manager.fontManager._findfont_cached):
            cache.cache_clear()

    def know(*fonts):
        own = [font for font in font_manager.fontManager.ttflist if "mpl-data" in font.fname]
        monkeypatch.setattr(font_manager.fontManager, "ttflist", [*own, *fonts])
        forget()

    yield know
    forget()


def test_an_installed_font_that_has_the_letters_is_used(tmp_path, known, recwarn):
    font = next(
        (f for f in font_manager.fontManager.ttflist if f.name in plots.FAMILIES and has(f.fname, "猫狗")), None
    )
    if font is None:
        pytest.skip("no font of the list has the letters 猫 and 狗; apt-get install fonts-wqy-zenhei brings one")
    known(font)
    drawn, again, other = (pixels(tmp_path, *names) for names in (("猫", "狗"), ("猫", "狗"), ("狗", "猫")))
    assert drawn == again and all(one != two for one, two in zip(drawn, other, strict=True))
    assert not recwarn.list


def test_without_such_a_font_matplotlib_warns(tmp_path, known):
    known()
    with pytest.warns(UserWarning, match="missing from font"):
        drawn, other = pixels(tmp_path, "猫", "狗"), pixels(tmp_path, "狗", "猫")
    assert drawn == other, "a box is as good as another"
