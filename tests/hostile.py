"""What the tests of hostile input share: texts that harm whoever trusts them, and damage."""

import random

NASTY = "<script>alert('x')</script>\"'&\x1b[31m\n=1+1$\\frac$"
EVIL = (  # values of flags and of knobs
    *("", " ", "-", "--", "-rf", "--help", "0", "-1", "nan", "inf", "1e400", "9" * 5_000),
    *("None", "true", '{"a":', "[1,2"),
    *("=cmd|' /C calc'!A0", "\x1b[31m", "a\nb", "\r", "é雪", "\udcff", "\u202e", "x" * 300, "~nosuchuser/x", "../x"),
    *("/proc/x", "$(touch x)", "<script>alert(1)</script>", "$\\frac$", "%s%n", "*.png", "**", "[", "%00", "con", "."),
    *(None, True, [], {}, [[[]]], {"a": {}}, 2**63, -(2**63), 10**400, 1e308, float("nan"), float("inf")),
)


def damaged(originals, count):
    """So many files' bytes, the same ones each time, with some changed, some cut off, some put in."""
    dice = random.Random(0)
    for _ in range(count):
        data = bytearray(dice.choice(originals))
        for _ in range(dice.randint(1, 6)):
            place = dice.randrange(len(data) + 1)
            what = dice.choice((0, 1, 127, 255, "cut", "insert", "repeat", "long"))
            if what == "cut":
                del data[place : place + dice.choice((1, 4, len(data)))]
            elif what == "insert":
                data[place:place] = dice.randbytes(dice.randint(1, 8))
            elif what == "repeat":
                data[place:place] = data[place : place + 64] * 2
            elif what == "long":
                data[place : place + 4] = dice.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4)))
            else:
                data[place : place + 1] = bytes([what])
        yield bytes(data)
