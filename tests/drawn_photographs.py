"""Photographs of MNIST's digits, drawn: dark ink on paper, large, anywhere, nearly evenly lit, with noise."""

import numpy as np
from PIL import Image


def photograph(digit, random, contrast=0.7):
    """A picture of a few hundred pixels of a digit of shape (28, 28); `random` decides place, size and light."""
    side = int(random.integers(200, 401))
    height, width = (int(side * random.uniform(1.1, 2)) for _ in range(2))
    top, left = random.integers(height - side + 1), random.integers(width - side + 1)
    ink = np.zeros((height, width))
    large = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    ink[top : top + side, left : left + side] = np.asarray(large) / 255
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None] - 0.5
    turn = random.uniform(0, 2 * np.pi)
    light = 1 - 0.1 * (np.cos(turn) * x + np.sin(turn) * y)
    paper = 200 * light * (1 - contrast * ink) + random.normal(0, 4, ink.shape)
    return Image.fromarray(paper.clip(0, 255).astype(np.uint8))
