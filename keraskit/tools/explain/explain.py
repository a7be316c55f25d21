"""`keraskit explain`: where in a picture a run's model saw what it says."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from keraskit.datasets.images import decode
from keraskit.errors import UserError, printable
from keraskit.files import atomic
from keraskit.runs import figures, pictures, plots, report
from keraskit.runs.figures import Sheet
from keraskit.runs.opening import OpenedPictureRun, open_picture_run
from keraskit.runs.pictures import CAPTION, Network, Prediction
from keraskit.tools.explain import attribution
from keraskit.tools.explain.attribution import Explanation

FIRST = 24  # pictures of predictions that are explained


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
        why = f"NO EXPLANATION, {found.failure}" if found.failure else f"{found.method} passes its test"
        return f"{self.name}: {self.answer} ({self.probability:.1%}); {why}; shuffled weights alike {found.alike:.2f}"


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
    asked = open_picture_run(run, recipe, unfinished=True)
    network = pictures.network(asked)
    if mistakes:
        sheet = write(of_pictures(network, kept(asked), asked.classes, layer), target)
        figures.pack(asked.folder, {"explained": sheet}, "explained.pictures.npz")
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
    title = f"Where the network saw its answer: {passed} of {len(found)} maps pass their test"
    return Sheet(pictures, captions, title, columns=min(8, 2 * len(found)))


def overlaid(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A picture in grey with heat from 0 to 1 over it, uint8 of shape (height, width, 3)."""
    grey = np.asarray(Image.fromarray(picture).convert("L"), np.float32)[..., None].repeat(3, axis=-1)
    colours = 255 * matplotlib.colormaps["inferno"](heat)[..., :3]
    share = 0.25 + 0.5 * heat[..., None]
    return np.clip(grey * (1 - share) + colours * share, 0, 255).astype(np.uint8)


def kept(asked: OpenedPictureRun) -> list[tuple[str, np.ndarray]]:
    """The run's worst mistakes and some right answers, in the model's size."""
    sheets = figures.read(asked.folder)
    chosen = [
        (f"{kind}: {caption.partition(chr(10))[0]}", data)
        for name, kind in (("mistakes", "wrong"), ("right", "right"))
        if name in sheets
        for data, caption in list(zip(sheets[name].pictures, sheets[name].captions, strict=True))[: figures.WHOLE]
    ]
    if not chosen or not all(data.startswith(b"\x89PNG") for _, data in chosen):
        kept = "kept pictures of its test as JPEG, which its model did not see" if chosen else "kept no pictures"
        raise UserError(f"{asked.folder.path} has {kept}.", "Name pictures in place of --mistakes.")
    size, channels = asked.inputs.size, asked.inputs.channels
    return [(name, decode.pixels(decode.read(bytes(data)), size, channels)) for name, data in chosen]


def _opened(network: Network, path: Path) -> np.ndarray:
    """A picture file in the run's size. Raises UserError where it is none."""
    try:
        return network.read(path)[0]
    except (OSError, decode.BadPicture) as error:
        raise UserError(f"{path} {error}.") from error
