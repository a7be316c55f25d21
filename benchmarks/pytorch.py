"""A training step of the same networks in PyTorch, by its defaults and as fast as it goes, and in keraskit; in turn.

    python benchmarks/pytorch.py [RECIPE ...] [--rounds 5] [--json docs/pytorch.json]

PyTorch gets its batches ready in memory; keraskit makes them, shuffled, as a run does. As fast as it goes: the fastest
of eager and `torch.compile`, each in float32 and under bfloat16's autocast, convolutions in `channels_last`, which are
all tried first. PyTorch is no dependency of keraskit's: without it this says so and ends.
"""

import dataclasses
import importlib.util
import itertools
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

if importlib.util.find_spec("torch") is None:
    print("skipped: PyTorch is not installed (pip install torch)")
    sys.exit()

import speed
import torch
from torch import nn

from keraskit.config import RunConfig
from keraskit.recipe import call
from keraskit.registry import load_recipe
from keraskit.training import hardware
from keraskit.training.settings import settle
from keraskit.training.setup import prepare

BATCHES = 16  # that are ready in memory, taken again and again


class Last(nn.Module):
    """The last state of a recurrent layer."""

    def __init__(self, layer: nn.LSTM) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Batch first."""
        return self.layer(x)[1][0][-1]


def mlp() -> nn.Module:
    """As the recipe."""
    sizes = (784, 512, 216, 128)
    hidden = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(128, 10))


def cnn() -> nn.Module:
    """As the recipe."""
    first = (nn.Conv2d(1, 128, 4), nn.ReLU(), nn.MaxPool2d(2))
    second = (nn.Conv2d(128, 64, 4), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(1_024, 64), nn.ReLU(), nn.Linear(64, 10))


def lstm() -> nn.Module:
    """As the recipe."""
    return nn.Sequential(Last(nn.LSTM(1, 128, batch_first=True)), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))


def cats_dogs() -> nn.Module:
    """As the recipe, but that its one output is a logit."""
    layers: list[nn.Module] = []
    for before, filters in ((3, 32), (32, 64), (64, 128), (128, 128)):
        layers += [nn.Conv2d(before, filters, 3), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6_272, 512), nn.ReLU(), nn.Linear(512, 1))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (mlp, (784,)),
    "cnn": (cnn, (1, 28, 28)),
    "lstm": (lstm, (784, 1)),
    "cats_dogs": (cats_dogs, (3, 150, 150)),
}


@dataclasses.dataclass
class Way:
    """How PyTorch computes."""

    compiled: bool = False
    bfloat16: bool = False
    channels_last: bool = False

    def __str__(self) -> str:
        return ", ".join(
            [
                "compiled" if self.compiled else "eager",
                "bfloat16" if self.bfloat16 else "float32",
                *["channels_last"] * self.channels_last,
            ]
        )


def torches(name: str, batch: int, most: int, way: Way) -> speed.Timed:
    """PyTorch's step: forward, loss, backward, Adam."""
    torch.manual_seed(0)
    build, shape = NETWORKS[name]
    network, binary = build(), name == "cats_dogs"
    layout = torch.channels_last if way.channels_last else torch.contiguous_format
    if len(shape) == 3:
        network = network.to(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    lossy = nn.BCEWithLogitsLoss() if binary else nn.CrossEntropyLoss()
    data = []
    for _ in range(BATCHES):
        x = torch.rand(batch, *shape)
        y = torch.randint(0, 2, (batch, 1)).float() if binary else torch.randint(0, 10, (batch,))
        data.append((x.to(memory_format=layout) if len(shape) == 3 else x, y))

    def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=way.bfloat16):
            answers = network(x)
        return lossy(answers.float(), y)

    loss_of = torch.compile(loss_of) if way.compiled else loss_of

    def run(epochs: int, steps: int) -> None:
        for i in range(epochs * steps):
            optimizer.zero_grad(set_to_none=True)
            loss_of(*data[i % BATCHES]).backward()
            optimizer.step()

    return speed.Timed(run, most)


def fastest(name: str, batch: int, most: int) -> tuple[Way, speed.Timed]:
    """Of four ways the one whose step is the shortest."""
    found = []
    for way in [Way(c, b, len(NETWORKS[name][1]) == 3) for c in (False, True) for b in (False, True)]:
        if way.compiled and name == "lstm":
            continue  # torch.compile leaves nn.LSTM as it is
        timed = torches(name, batch, most, way)
        timed.measure()
        found.append((timed.step, str(way), way, timed))
        print(f"  {way}: {timed.step * 1e3:.2f} ms", flush=True)
    *_, way, timed = min(found, key=lambda each: each[0])
    timed.seconds.clear()
    return way, timed


def measure(name: str, rounds: int, folder: Path) -> dict[str, Any]:
    """One network, all ways in alternation."""
    recipe = load_recipe(name)
    options = {"data_dir": folder} if name == "cats_dogs" else {}
    settings = settle(recipe, RunConfig(epochs=1), options).replace(steps_per_epoch=None)
    devices = hardware.configure(settings)
    setup = prepare(recipe, settings, call(recipe.data, settings.arguments), devices)
    batch, most = settings.batch_size, setup.epochs.steps
    best, timed = fastest(name, batch, most)
    ways = {
        "keraskit": speed.keraskits(setup),
        "PyTorch": torches(name, batch, most, Way()),
        "PyTorch at its fastest": timed,
    }
    for _ in range(rounds):
        for way in ways.values():
            way.measure()
    row: dict[str, Any] = {key: way.step for key, way in ways.items()}
    row |= {f"{key} / keraskit": speed.ratio(way, ways["keraskit"]) for key, way in ways.items() if key != "keraskit"}
    return row | {"batch": batch, "fastest": str(best), "precision": setup.choices.precision.value}


def main() -> None:
    """Measure, print, and record."""
    asked = speed.command_line(__doc__, NETWORKS).parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as place:
        speed.make_pets(Path(place))
        for name in asked.recipes:
            found[name] = row = measure(name, asked.rounds, Path(place))
            print(f"{name:10} {json.dumps(row)}", flush=True)
    if asked.json:
        record = {"recipes": found, "torch": torch.__version__, "hardware": hardware.describe()}
        asked.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
