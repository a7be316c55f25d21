"""`keraskit explain`: where in a picture a run's model saw what it says, and what its layers make of it."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from pathlib import Path

import keras
import matplotlib
import numpy as np
from PIL import Image

from keraskit.datasets.images import decode
from keraskit.errors import UserError, printable
from keraskit.files import atomic
from keraskit.models import attribution
from keraskit.models.attribution import Explanation
from keraskit.results import figures, plots, report
from keraskit.results.figures import Sheet
from keraskit.results.predict import Predictor
from keraskit.results.predictions import CAPTION, Network, Prediction

FIRST = 24  # pictures of predictions that are explained
EIGHT = 8  # mistakes, and right answers, of a run that are explained
CHANNELS = 64  # of a layer, at most


@dataclasses.dataclass(frozen=True)
class Explained:
    """One picture.

    Args:
        name: of the file, or what kind of example it is.
        picture: as the model was shown it, uint8 of shape (height, width) or (height, width, 3).
        answer: the most probable class.
        probability: of it.
        explanation: of that answer.
    """

    name: str
    picture: np.ndarray
    answer: str
    probability: float
    explanation: Explanation

    def __str__(self) -> str:
        found = self.explanation
        tests = (
            f"map of shuffled weights alike {found.alike:.2f}, deletion {found.deletion:.2f} against {found.random:.2f}"
        )
        why = f"NO EXPLANATION, {found.failure}" if found.failure else f"{found.method} passes its tests"
        return f"{self.name}: {self.answer} ({self.probability:.1%}); {why}; {tests}"


def of_pictures(
    network: Network, pictures: Sequence[tuple[str, np.ndarray]], classes: Sequence[str], layer: str | None = None
) -> list[Explained]:
    """The most probable class of each picture, explained; printed as it is found.

    Args:
        network: a model with a softmax or sigmoid at its end.
        pictures: names, and pictures of the model's size.
        classes: their names.
        layer: whose channels Grad-CAM weighs (default: the last convolution).
    """
    explained = []
    for name, picture in pictures:
        probabilities = network.probabilities(picture[None])[0]
        k = int(probabilities.argmax())
        found = attribution.explain(network.model, network.fed, picture, k, layer)
        explained.append(Explained(name, picture, classes[k], float(probabilities[k]), found))
        print(printable(explained[-1]), flush=True)
    return explained


def of_files(
    network: Network, paths: Sequence[Path], classes: Sequence[str], layer: str | None = None
) -> list[Explained]:
    """The same of picture files. Raises UserError where one is none."""
    return of_pictures(network, [(path.name, _opened(network, path)) for path in paths], classes, layer)


def of_predictions(network: Network, rows: Sequence[Prediction], classes: Sequence[str]) -> list[Explained]:
    """The same of the first pictures that were predicted: as many as a sheet shows well."""
    chosen = [row for row in rows if row.best][:FIRST]
    shown = [(" ".join(filter(None, (row.path.name, row.network))), _opened(network, row.path)) for row in chosen]
    return of_pictures(network, shown, classes)


def explain(
    run: Path, paths: Sequence[Path], mistakes: bool, layer: str | None, target: Path, recipe: Path | None = None
) -> None:
    """Explain a run's answers for picture files, or for its worst mistakes and as many right answers.

    The latter stand in its page from then on.

    Args:
        run: its folder, or one of several, of which the newest is taken.
        paths: the files.
        mistakes: take the test examples that the run has kept in place of files.
        layer: whose channels Grad-CAM weighs (default: the last convolution).
        target: the PNG to write.
        recipe: the file of a recipe of the user's own, whose layers the model has.
    """
    asked = Predictor.of(run, recipe)
    network = asked.network()
    if mistakes:
        sheet = write(of_pictures(network, kept(asked), asked.classes, layer), target)
        figures.pack(asked.folder, figures.EXPLAINED, {"explained": sheet})
        report.write_report(asked.folder)
    else:
        write(of_files(network, paths, asked.classes, layer), target)


def write(found: Sequence[Explained], target: Path | None) -> Sheet:
    """A sheet with each picture, and beside it where the model saw its answer; written where it is asked for."""
    sheet = as_sheet(found)
    if not (target and found):
        return sheet
    with atomic(target) as beside:
        plots.sheet(sheet.pictures, sheet.captions, beside, sheet.title, sheet.columns, side=2.0)
    print(f"sheet: {printable(target)}")
    return sheet


def as_sheet(found: Sequence[Explained]) -> Sheet:
    """Each picture, and beside it where the model saw its answer."""
    pictures, captions = [], []
    for each in found:
        failure = each.explanation.failure
        pictures += [each.picture, overlaid(each.picture, each.explanation.map)]
        why = textwrap.fill(failure.partition(" (")[0], CAPTION)
        said = f"no explanation:\n{why}" if failure else each.explanation.method
        captions += [each.name, f"{each.answer}, {each.probability:.2f}\n{said}"]
    passed = sum(not each.explanation.failure for each in found)
    title = f"Where the network saw its answer: {passed} of {len(found)} maps pass both of their tests"
    return Sheet(pictures, captions, title, columns=min(8, 2 * len(found)))


def overlaid(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A picture in grey with heat from 0 to 1 over it, uint8 of shape (height, width, 3)."""
    grey = np.asarray(Image.fromarray(picture).convert("L"), np.float32)[..., None].repeat(3, axis=-1)
    colours = 255 * matplotlib.colormaps["inferno"](heat)[..., :3]
    share = 0.25 + 0.5 * heat[..., None]
    return np.clip(grey * (1 - share) + colours * share, 0, 255).astype(np.uint8)


def kept(asked: Predictor) -> list[tuple[str, np.ndarray]]:
    """The run's worst mistakes and some right answers, in the model's size."""
    sheets = figures.read(asked.folder)
    chosen = [
        (f"{kind}: {caption.partition(chr(10))[0]}", data)
        for name, kind in (("mistakes", "wrong"), ("right", "right"))
        if name in sheets
        for data, caption in list(zip(sheets[name].pictures, sheets[name].captions, strict=True))[:EIGHT]
    ]
    if not chosen:
        raise UserError(
            f"{asked.folder.path} has kept no pictures of its test.", "Name pictures in place of --mistakes."
        )
    size, channels = asked.inputs.size, asked.inputs.channels
    return [(name, decode.pixels(decode.read(bytes(data)), size, channels)) for name, data in chosen]


def _opened(network: Network, path: Path) -> np.ndarray:
    """A picture file in the run's size. Raises UserError where it is none."""
    try:
        return network.read(path)[0]
    except (OSError, decode.BadPicture) as error:
        raise UserError(f"{path} {error}.") from error


def draw_maps(run: Path, path: Path, layer: str | None, target: Path, recipe: Path | None = None) -> None:
    """Write what a layer's channels make of a picture, and its filters; the last convolution's unless one is named."""
    asked = Predictor.of(run, recipe)
    if (found := attribution.layer_of(asked.model, layer)) is None:
        raise UserError(f"{asked.folder.path} has no convolutions.", "Name a layer with --layer.")
    picture = _opened(asked.network(), path)
    with attribution.recorded(found) as outputs:
        asked.model(asked.fed(picture[None]), training=False)
    maps = outputs[-1].numpy()[0].transpose(2, 0, 1)[:CHANNELS]  # channel by channel
    filters, of_what = _filters(found)
    pictures = [picture, *map(_spread, maps), *map(_spread, filters)]
    captions = [path.name, *(f"{i}, {m.min():.2g} to {m.max():.2g}" for i, m in enumerate(maps))]
    captions += [f"filter {i}, {f.min():.2g} to {f.max():.2g}" for i, f in enumerate(filters)]
    title = f"{found.name}: {len(maps)} of {outputs[-1].shape[-1]} channels, each spread over black to white{of_what}"
    with atomic(target) as beside:
        plots.sheet(pictures, captions, beside, title)
    print(f"sheet: {printable(target)}")


def _filters(layer: keras.Layer) -> tuple[list[np.ndarray], str]:
    """A convolution's filters, one for each channel of its output, and words for a title; none of other layers."""
    if not isinstance(layer, keras.layers.Conv2D) or layer.kernel_size == (1, 1):
        return [], ""
    of_channels = np.asarray(layer.kernel).transpose(3, 0, 1, 2)[:CHANNELS]
    count = of_channels.shape[-1]
    if count == 3:
        return [*of_channels], "; then its filters in colour"
    return [f.mean(axis=-1) for f in of_channels], "; then its filters" + f", means over {count} inputs" * (count > 1)


def _spread(values: np.ndarray) -> np.ndarray:
    """From black for the lowest to white for the highest, uint8."""
    return np.asarray(255 * (values - values.min()) / max(float(np.ptp(values)), 1e-9), np.uint8)
