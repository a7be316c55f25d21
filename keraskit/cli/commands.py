"""Commands other than those on recipes and runs."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from cyclopts import Parameter

from keraskit import system
from keraskit.augment.augmentation import Augmentation
from keraskit.cli.run_commands import PICTURE, Asked, NewPicture, Switch
from keraskit.errors import UserError, printable
from keraskit.files import check_new, write_text
from keraskit.registry import find_card, recipes_available
from keraskit.typed import Count, Seed


def launch(
    *words: Annotated[str, Parameter(allow_leading_hyphen=True)], workers: Count = 2, logs: Path = Path("runs/launch")
) -> None:
    """Train on several workers on this machine.

        keraskit launch --workers 2 -- run cnn --epochs 2

    Args:
        words: Command for every worker to run, after `--`.
        workers: Number of processes.
        logs: Folder for the output of all workers but the first, worker-1.log and so on.
    """
    from keraskit.training.launch import launch

    launch(words, workers, logs)


def augment(
    *,
    preview: Path,
    output: NewPicture = Path("augmented.png"),
    versions: Annotated[Count, Interval(le=50)] = 7,
    seed: Seed = 0,
    augmentation: Annotated[Augmentation | None, Parameter(name="*")] = None,
) -> None:
    """Preview an augmentation on your own pictures: a sheet with each original and several random versions.

    Each picture counts as a training split of its own for featurewise statistics and whitening.

    Args:
        preview: A picture, or a folder of pictures, of which the first eight are shown.
        versions: Random versions per picture.
        seed: Seed of the random versions.
    """
    from keraskit.datasets.images.sources import find

    paths = find([preview])[:8]
    from keraskit.tools.preview import preview as write

    write(paths, augmentation or Augmentation(), output, versions, seed)
    print(f"sheet: {printable(output)}")


def classify(
    *photos: Path,
    asked: Asked = Asked(),  # noqa: B008
    model: str = "mobilenet",
    alpha: float = 1.0,
    size: Count | None = None,
    weights: str = "imagenet",
    crop: Switch = False,
    explain: Annotated[Path | None, PICTURE] = None,
) -> None:
    """Classify photographs with Keras's pretrained networks, or measure their accuracy.

        keraskit classify PHOTOS/ --model all --sheet a.png
        keraskit classify LABELLED/ --evaluate --crop

    Keras downloads a network's weights once; class names are included. Folders of labelled pictures:

        LABELLED/tench/a.jpg               or n01440764/, n01440764_tench/, 0/, its index
        LABELLED/great-white shark/b.jpg
        LABELLED/crane (n02012849)/c.jpg   with its WordNet id, as two classes have this name

    Args:
        photos: Files, folders, patterns such as '*.jpg'; by default an included photograph.
        model: One of Keras's networks, such as vgg16; several with commas; or all, for the tutorial's seven.
        alpha: MobileNet's width multiplier.
        size: Height and width of the input in pixels (default: the network's own).
        weights: imagenet, a file of Keras's weights, or none for random weights.
        crop: Crop the central 87.5% instead of resizing the whole picture as the tutorial does; more accurate.
        explain: A PNG with a map of what each prediction is based on.
    """
    if (model == "all" or "," in model) and (explain or weights not in ("imagenet", "none")):
        raise UserError("--explain and a file of --weights take one network.", "Name it with --model.")
    from keraskit.datasets.images.layout import imagenet_labels
    from keraskit.datasets.images.sources import SHIPPED, find

    truth = imagenet_labels().of_pictures(photos) if asked.evaluate else {}
    paths, names = list(truth) or find(photos or [SHIPPED / "coffee.png"]), imagenet_labels().names
    from keraskit.runs.pictures import Prediction, predictions, show, write
    from keraskit.tools import classify as tool
    from keraskit.tools import explain as explanations

    rows: list[Prediction] = []
    for name in tool.SEVEN if model == "all" else model.split(","):
        network = tool.network(name, weights, alpha, size, crop)
        found = list(predictions(paths, network, names, max(asked.top, 5), asked.batch_size, name))
        rows += found
        if explain:
            some = [row.path for row in found if row.best][:24]  # each map takes a gradient and five shuffles
            explanations.write(network, [(path.name, network.read(path)[0]) for path in some], names, explain)
    show(rows, names, truth, asked.top)
    write(rows, asked.json, asked.csv, asked.sheet, asked.top)


def new(name: str) -> None:
    """Create a recipe of your own: NAME.py, a copy of mlp that is ready to run.

    Args:
        name: Name of the recipe and its file.
    """
    if not name.isidentifier():
        raise UserError(f"{name!r} cannot be a Python module's name.", "Take letters, digits and underscores.")
    check_new(file := Path(f"{name}.py"))
    if name in recipes_available() or find_spec(name):
        raise UserError(f"{name} is a recipe or module already, which the file would hide.", "Take another name.")
    source = find_card("mlp").source.read_text("utf-8").partition('"""\n')[2].replace('name="mlp"', f'name="{name}"')
    source = re.sub(r"    (section|expected)=.*\n", "", source)  # which hold only for mlp
    write_text(file, f'"""{name}: begun as mlp.\n\n    keraskit run ./{file}\n"""\n{source}')
    print(f"written: {printable(file)}\nrun it:  keraskit run ./{printable(file)} --quick")


def doctor() -> None:
    """Check this machine: versions, devices, data, layout program, disk; with advice on what is missing."""
    from keraskit.datasets.digits import search_path
    from keraskit.models import graph
    from keraskit.training import hardware

    here = hardware.describe()
    digits = next((f"{path} ({why})" for why, path in search_path() if system.is_file(path)), "")
    facts = system.versions() | {
        "cpu": f"{here['cpu']}, {here['cores']} cores",
        "bfloat16": here["bfloat16"] or "no: convolutions run in float32, nothing is wrong",
        "gpu": ", ".join(here["gpus"]) or f"none; an NVIDIA one needs its driver, and `{system.extra('gpu')}`",
        "graph layout": graph.layout_program() or "none: `pip install graphviz-pure`",
        "mnist": digits or "not here: the first run downloads it",
        "free disk": f"{shutil.disk_usage('.').free / 2**30:.1f} GiB here",
    }
    for name, state in facts.items():
        print(f"{name:14} {state}")
