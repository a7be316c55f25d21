"""What is printed: on a screen, in a file, and of one and of several."""

import io

import pytest

from keraskit.text import Stream, counted


class Screen(io.StringIO):
    """A terminal, as far as anybody asks."""

    def isatty(self):
        """Yes."""
        return True


BAR = "\x1b[1m3/4\x1b[0m \x1b[32m━━\x1b[0m loss: 0.5\b\b\r\x1b[K"


@pytest.mark.parametrize(
    ("text", "in_a_file", "on_a_screen"),
    [
        ("plain é 雪\n", "plain é 雪\n", "plain é 雪\n"),
        (BAR, BAR.replace("\x1b", "\\x1b").replace("\b", "\\x08").replace("\r", "\\r"), BAR),
        ("a\x1b]0;title\x07b", "a\\x1b]0;title\\x07b", "a\\x1b]0;title\\x07b"),
        ("\x1b[2J\x1b[1A\x9b31m\x00\u202e", *["\\x1b[2J\\x1b[1A\\x9b31m\\x00\\u202e"] * 2),
        ("\udcff", "\\udcff", "\\udcff"),
    ],
)
def test_a_screen_obeys_colours_and_bars_and_a_file_holds_letters(text, in_a_file, on_a_screen):
    for stream, expected in ((io.StringIO(), in_a_file), (Screen(), on_a_screen)):
        assert Stream(stream).write(text) == len(text)
        assert stream.getvalue() == expected


def test_one_is_not_several():
    assert [counted(n, "epoch") for n in (0, 1, 2, 1_000)] == ["0 epochs", "1 epoch", "2 epochs", "1,000 epochs"]
    assert [counted(n, "class", "classes") for n in (1, 2)] == ["1 class", "2 classes"]
