"""Drawings of cats and dogs, used if there are no photographs; output always calls them drawn."""

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

NAME = "drawn pets"
SIZE = 150
CLASSES = ("cat", "dog")
COUNTS = {"train": range(400), "validation": range(400, 500), "test": range(500, 700)}  # indices in each class


class DrawnPets:
    """Images that are drawn when they are read, with the interface of `sources.Folder`."""

    def __init__(self) -> None:
        self.root, self.skipped = Path("drawn"), dict[str, str]()
        self.names = [f"{split}/{kind}/{i}.bmp" for split in COUNTS for kind in CLASSES for i in COUNTS[split]]

    def read(self, name: str) -> bytes:
        """Return the image as the bytes of a BMP file."""
        _, kind, number = name.split("/")
        file = io.BytesIO()
        Image.fromarray(draw(kind, int(number.partition(".")[0]))).save(file, "BMP")
        return file.getvalue()


def draw(kind: str, index: int) -> np.ndarray:
    """Draw an image, uint8 of shape (150, 150, 3), deterministic in `kind` and `index`.

    Colour, size, position, tilt, background and noise vary independently of `kind`.
    """
    random = np.random.default_rng([CLASSES.index(kind), index])
    canvas = 2 * SIZE  # drawn at twice the size and reduced, to smooth the edges
    image = Image.new("RGB", (canvas, canvas), _colour(random, 60, 230))
    pen = ImageDraw.Draw(image)
    for _ in range(random.integers(3, 9)):
        x, y, r = random.uniform(0, canvas), random.uniform(0, canvas), random.uniform(20, 110)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=_colour(random, 40, 240))
    head = _head(kind, random)
    side = int(canvas * random.uniform(0.55, 0.95))
    head = head.resize((side, side), Image.Resampling.BICUBIC)
    head = head.rotate(random.uniform(-25, 25), Image.Resampling.BICUBIC)
    left, top = (int(v) for v in random.uniform(0, canvas - side, 2))
    image.paste(head, (left, top), head)
    pixels = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX), np.float32)
    noise = random.normal(0, random.uniform(2, 10), pixels.shape)
    return np.clip(pixels * random.uniform(0.75, 1.15) + noise, 0, 255).astype(np.uint8)


def _colour(random: np.random.Generator, low: int, high: int) -> tuple[int, ...]:
    return tuple(random.integers(low, high, 3).tolist())


def _head(kind: str, random: np.random.Generator) -> Image.Image:
    """Draw a head on a transparent square of 300x300 pixels."""
    image = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    fur, dark = _colour(random, 90, 235), _colour(random, 20, 90)
    inner = (220, 150, 150)
    wide, high = random.uniform(78, 95), random.uniform(75, 92)
    if kind == "cat":
        for side in (-1, 1):
            tip = (150 + side * random.uniform(75, 95), random.uniform(20, 45))
            pen.polygon([(150 + side * 25, 95), tip, (150 + side * wide, 140)], fill=fur, outline=dark)
            pen.polygon([(150 + side * 42, 95), (tip[0] - side * 8, tip[1] + 18), (150 + side * 70, 118)], fill=inner)
    pen.ellipse((150 - wide, 160 - high, 150 + wide, 160 + high), fill=fur, outline=dark, width=3)
    if kind == "dog":
        ear = _colour(random, 40, 200)
        for side in (-1, 1):
            x, drop = 150 + side * (wide - 4), random.uniform(120, 160)
            pen.ellipse((x - 26, 85, x + 26, 85 + drop), fill=ear, outline=dark, width=3)
        pen.ellipse((105, 165, 195, 250), fill=tuple(min(255, c + 25) for c in fur), outline=dark, width=2)
        if random.random() < 0.6:
            pen.ellipse((135, 225, 165, 275), fill=(225, 90, 110))
    for side in (-1, 1):
        x, y, r = 150 + side * 36, random.uniform(135, 150), random.uniform(13, 18)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=_colour(random, 120, 255) if kind == "cat" else (250, 250, 250))
        slit = 4 if kind == "cat" else r * 0.6
        pen.ellipse((x - slit, y - r * 0.8, x + slit, y + r * 0.8), fill=(15, 15, 15))
    nose, size, colour = (185, 10, inner) if kind == "cat" else (180, 18, (25, 20, 20))
    pen.ellipse((150 - size, nose - size * 0.7, 150 + size, nose + size * 0.7), fill=colour)
    pen.arc((130, nose, 150, nose + 28), 0, 120, fill=dark, width=3)
    pen.arc((150, nose, 170, nose + 28), 60, 180, fill=dark, width=3)
    if kind == "cat":
        for side in (-1, 1):
            for angle in (-0.25, 0.0, 0.25):
                end = (150 + side * 110 * math.cos(angle), 195 + 110 * math.sin(angle))
                pen.line([(150 + side * 22, 195), end], fill=dark, width=2)
    return image
