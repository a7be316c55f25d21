"""The document's tables as data: of each model every layer's name, output shape without the batch, and parameters."""

LAYERS: dict[str, list[tuple[str, tuple[int, ...], int]]] = {
    "mlp": [
        ("input", (784,), 0),
        ("hidden1", (512,), 401_920),
        ("hidden2", (216,), 110_808),
        ("hidden3", (128,), 27_776),
        ("output", (10,), 1_290),
    ],
    "cnn": [
        ("input", (28, 28, 1), 0),
        ("conv1", (25, 25, 128), 2_176),
        ("pool1", (12, 12, 128), 0),
        ("conv2", (9, 9, 64), 131_136),
        ("pool2", (4, 4, 64), 0),
        ("flatten", (1_024,), 0),
        ("hidden1", (64,), 65_600),
        ("output", (10,), 650),
    ],
}
# The document's own printed table, which cannot be trained on one label per image; see docs/ERRATA.md.
CNN_AS_PRINTED = [
    ("input", (28, 28, 1), 0),
    ("conv1", (25, 25, 128), 2_176),
    ("pool1", (12, 12, 128), 0),
    ("conv2", (9, 9, 64), 131_136),
    ("pool2", (4, 4, 64), 0),
    ("hidden1", (4, 4, 64), 4_160),
    ("output", (4, 4, 10), 650),
]
TOTALS = {"mlp": 541_794, "cnn": 199_562}
