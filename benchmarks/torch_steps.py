"""Training steps in PyTorch, in a process without TensorFlow: with both in one, some of their versions crash.

    python benchmarks/torch_steps.py RECIPE BATCHES.npz STEPS
    python benchmarks/torch_steps.py RECIPE DATA.npz BATCH until ACCURACY SECONDS SEED WAY

benchmarks/pytorch.py starts the first, and asks for one measurement after another by a line each; benchmarks/sooner.py
the second, which tells the seconds until a validation accuracy is reached.
"""

import dataclasses
import functools
import itertools
import json
import math
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from timed import Timed
from torch import nn


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
    """As the recipe, its gates too, whose biases come in the order input, forget, cell, output."""
    recurrent = nn.LSTM(1, 128, batch_first=True)
    forget = torch.empty(128).uniform_(1, 4 * 28 - 1).log()
    with torch.no_grad():
        recurrent.bias_ih_l0.copy_(torch.cat([-forget, forget, torch.zeros(256)]))
        recurrent.bias_hh_l0.zero_()
    recurrent.bias_hh_l0.requires_grad_(False)  # Keras has one bias
    return nn.Sequential(Last(recurrent), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))


def cats_dogs() -> nn.Module:
    """As the recipe, but that its one output is a logit."""
    layers: list[nn.Module] = []
    for before, filters in ((3, 32), (32, 64), (64, 128), (128, 128)):
        layers += [nn.Conv2d(before, filters, 3), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6_272, 512), nn.ReLU(), nn.Linear(512, 1))


OPTIMIZERS = {"cats_dogs": functools.partial(torch.optim.RMSprop, alpha=0.9, eps=1e-7)}  # faster than eps=1e-7**0.5
RATES = {"cats_dogs": (1e-4, 0), "lstm": (0.002, 8)}  # and the epochs over which they fall
WARM_UP = 200  # steps
NETWORKS: dict[str, Callable[[], nn.Module]] = {"mlp": mlp, "cnn": cnn, "lstm": lstm, "cats_dogs": cats_dogs}


@dataclasses.dataclass
class Way:
    """How PyTorch computes."""

    compiled: bool = False
    bfloat16: bool = False
    channels_last: bool = False

    @property
    def layout(self) -> torch.memory_format:
        """The order of axes in memory."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def __str__(self) -> str:
        return ", ".join(
            [
                "compiled" if self.compiled else "eager",
                "bfloat16" if self.bfloat16 else "float32",
                *["channels_last"] * self.channels_last,
            ]
        )


def prepared(name: str, x: np.ndarray, y: np.ndarray, way: Way) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch as the network takes it, channels first."""
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y).long().reshape(len(y))
    if inputs.ndim == 4:
        inputs = inputs.permute(0, 3, 1, 2).contiguous(memory_format=way.layout)
    return inputs, labels.float()[:, None] if name == "cats_dogs" else labels


def of_peak(step: int, steps: int) -> float:
    """The learning rate at a step, as a part of its peak, as the lstm recipe has it."""
    if step < WARM_UP:
        return (step + 1) / (WARM_UP + 1)
    return (1 + math.cos(math.pi * min((step - WARM_UP) / (steps - WARM_UP), 1))) / 2


def trained(name: str, way: Way, learning_rate: float, steps: int = 0) -> tuple[nn.Module, Callable[..., None]]:
    """A new network, and its step: forward, loss, backward, optimizer; `steps` of a learning rate that follows them."""
    network = NETWORKS[name]().to(memory_format=way.layout)
    optimizer = OPTIMIZERS.get(name, torch.optim.Adam)(network.parameters(), learning_rate)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: of_peak(step, steps) if steps else 1.0)
    lossy = nn.BCEWithLogitsLoss() if name == "cats_dogs" else nn.CrossEntropyLoss()

    def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=way.bfloat16):
            answers = network(x)
        return lossy(answers.float(), y)

    loss_of = torch.compile(loss_of) if way.compiled else loss_of

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_of(x, y).backward()
        if not steps:
            optimizer.step()
            return
        for each in network.parameters():  # by variable, as Keras's clipnorm
            nn.utils.clip_grad_norm_(each, 1.0)
        optimizer.step()
        rate.step()

    return network, step


def torches(name: str, file: str, most: int, way: Way) -> Timed:
    """Steps on batches that are ready in memory."""
    torch.manual_seed(0)
    _, step = trained(name, way, 1e-4)
    with np.load(file) as arrays:
        data = [prepared(name, x, y, way) for x, y in zip(arrays["x"], arrays["y"], strict=True)]

    def run(epochs: int, steps: int) -> None:
        for i in range(epochs * steps):
            step(*data[i % len(data)])

    return Timed(run, most)


def until(name: str, file: str, batch: int, wanted: float, most: float, seed: int, words: str) -> float | None:
    """Seconds until the validation accuracy is reached, or None if not in `most`.

    lstm and cats_dogs are trained as the recipes have it, but for the first weights; the others with Adam's own rate.
    """
    torch.manual_seed(seed)
    way = Way(*(word in words for word in ("compiled", "bfloat16", "channels_last")))
    with np.load(file) as arrays:
        pairs = [(arrays[f"x_{split}"], arrays[f"y_{split}"]) for split in ("train", "validation")]
    (x, y), held_out = (prepared(name, *pair, way) for pair in pairs)
    began = time.perf_counter()
    rate, epochs = RATES.get(name, (1e-3, 0))
    network, step = trained(name, way, rate, epochs * math.ceil(len(x) / batch))
    while time.perf_counter() - began < most:
        for chosen in torch.randperm(len(x)).split(batch):
            step(x[chosen], y[chosen])
        right = 0
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=way.bfloat16):
            for inputs, labels in zip(held_out[0].split(batch), held_out[1].split(batch), strict=True):
                answers = network(inputs)
                found = answers > 0 if name == "cats_dogs" else answers.argmax(1)
                right += int((found == labels).sum())
        print(f"  {time.perf_counter() - began:.0f} s: {right / len(held_out[0]):.4f}", file=sys.stderr, flush=True)
        if right >= wanted * len(held_out[0]):
            return time.perf_counter() - began
    return None


def main(name: str, file: str, most: int) -> None:
    """Tell the fastest way, then the seconds of a step in the usual and the fastest way, once for each line read."""
    usual, tried = torches(name, file, most, Way()), []
    for compiled, bfloat16 in itertools.product((False, True), repeat=2):
        if compiled and name == "lstm":
            continue  # torch.compile leaves nn.LSTM as it is
        way = Way(compiled, bfloat16, channels_last=name in ("cnn", "cats_dogs"))
        timed = torches(name, file, most, way)
        timed.measure()
        tried.append((timed.step, str(way), timed))
        print(f"  {way}: {timed.step * 1e3:.2f} ms", file=sys.stderr, flush=True)
    _, words, fastest = min(tried, key=lambda each: each[0])
    print(json.dumps({"torch": torch.__version__, "fastest": words}), flush=True)
    for _ in sys.stdin:
        for timed in (usual, fastest):
            timed.measure()
        print(json.dumps([usual.seconds[-1], fastest.seconds[-1]]), flush=True)


if __name__ == "__main__":
    recipe, file, number, *more = sys.argv[1:]
    if more:
        wanted, most, seed, words = more[1:]
        print(json.dumps(until(recipe, file, int(number), float(wanted), float(most), int(seed), words)))
    else:
        main(recipe, file, int(number))
