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


def drawn(tmp_path, monkeypatch, fonts, *classes):
    """A confusion matrix and a sheet with these names, where matplotlib knows its own fonts and these alone."""
    own = [font for font in font_manager.fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*own, *fonts])
    for cache in (plots._families, font_manager.fontManager._findfont_cached):
        cache.cache_clear()
    figures = plots.confusion(np.eye(2, dtype=int), classes), plots.sheet(plots.Sheet(np.zeros((2, 8, 8)), classes))
    for figure in figures:
        plots.save(figure, tmp_path / "a.png")
        yield np.asarray(Image.open(tmp_path / "a.png")).tobytes()
    plots._families.cache_clear()
    font_manager.fontManager._findfont_cached.cache_clear()


def test_an_installed_font_that_has_the_letters_is_used_or_matplotlib_warns(tmp_path, monkeypatch, recwarn):
    known = font_manager.fontManager.ttflist
    fonts = [font for font in known if font.name in plots.FAMILIES and has(font.fname, "猫狗")][:1]
    if not fonts:
        pytest.skip("no font of the list has the letters 猫 and 狗; apt-get install fonts-wqy-zenhei brings one")
    one, again, other = (list(drawn(tmp_path, monkeypatch, fonts, *names)) for names in ("猫狗", "猫狗", "狗猫"))
    assert one == again and all(a != b for a, b in zip(one, other, strict=True))
    assert not [each for each in recwarn if "missing from font" in str(each.message)]
    with pytest.warns(UserWarning, match="missing from font"):
        one, other = (list(drawn(tmp_path, monkeypatch, [], *names)) for names in ("猫狗", "狗猫"))
    assert one == other, "a box is as good as another"
