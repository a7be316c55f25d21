"""What the command line can do besides running recipes and asking of runs. Nothing imports TensorFlow too early."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from cyclopts import Parameter

from keraskit.augment import Augmentation
from keraskit.cli import run_commands
from keraskit.config import RunConfig
from keraskit.errors import Count, Seed, printable
from keraskit.files import PICTURES, check_file
from keraskit.recipe import BEYOND
from keraskit.registry import recipes_available
from keraskit.start import wait_for_tensorflow

PREVIEWED = 8  # pictures at most


def list_recipes() -> None:
    """Show every recipe: name, section of the document, parameters, what a full run on its own data reaches."""
    rows = [("name", "section", "parameters", "expected test accuracy", "what it is")]
    for card in recipes_available().values():
        expected = card.declared.get("expected", {})
        reached = ", ".join(f"{_briefly(metric)} {value}".strip() for metric, value in expected.items())
        reached += f" ({given})" if (given := card.measured_with) else ""
        rows.append((card.name, card.declared.get("section") or BEYOND, card.parameters, reached, card.summary))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    wide = sum(widths) + 8 <= shutil.get_terminal_size().columns  # else what it is stands on a line of its own
    for name, section, parameters, reached, summary in rows:
        cells = f"{name:{widths[0]}}  {section:{widths[1]}}  {parameters:>{widths[2]}}  {reached:{widths[3]}}"
        below = "" if summary == "what it is" else f"\n    {summary}"
        print(f"{cells}  {summary}" if wide else f"{cells.rstrip()}{below}")


def _briefly(metric: str) -> str:
    """Of which output an accuracy is; of other metrics the whole name."""
    return metric.removeprefix("test_").removesuffix("accuracy").rstrip("_").replace("_", " ")


def launch(
    *words: Annotated[str, Parameter(allow_leading_hyphen=True)], workers: Count = 2, logs: Path = Path("runs/launch")
) -> None:
    """Train on several workers on this machine.

        keraskit launch --workers 2 -- run cnn --epochs 2

    Args:
        words: The command that every worker runs, after a `--`.
        workers: How many processes.
        logs: Folder for a folder with each worker's output.
    """
    from keraskit.distributed.launch import launch

    launch(words, workers, logs)


def launched(typed: Sequence[str]) -> list[str]:
    """Of the words of `keraskit launch`, those that every worker runs."""
    return list(typed[typed.index("--") + 1 :]) if "--" in typed else []


def augment(
    *,
    preview: Path,
    output: Path = Path("augmented.png"),
    versions: Annotated[Count, Interval(le=50)] = 7,
    seed: Seed = 0,
    augmentation: Annotated[Augmentation, Parameter(name="*")] = Augmentation(),  # noqa: B008
) -> None:
    """Show what an augmentation makes of your own pictures: a sheet with each as it is and several random versions.

    Args:
        preview: A picture, or a folder of them, of which the first eight are shown.
        output: The PNG to write.
        versions: Random versions of each.
        seed: Decides them.
        augmentation: What may happen.
    """
    check_file(output, PICTURES)
    from keraskit.datasets.images.sources import find

    paths = find([preview])[:PREVIEWED]
    wait_for_tensorflow()
    from keraskit.tools.preview import preview as write

    write(paths, augmentation, output, versions, seed)
    print(f"sheet: {printable(output)}")


def new(name: str, *, folder: Path = Path()) -> None:
    """Begin a recipe of your own: NAME.py, a copy of mlp that runs at once, and its test.

    Args:
        name: Of the recipe, and of its file.
        folder: Where to write both files.
    """
    from keraskit.cli.new import new

    recipe, test = new(name, folder)
    print(f"written: {printable(recipe)} and {printable(test)}\nrun it:  keraskit run ./{printable(recipe)} --quick")


def doctor() -> None:
    """Look at this machine: versions, devices, data, layout program, disk; and say what to do about what is missing."""
    wait_for_tensorflow()
    from keraskit.cli import doctor

    doctor.examine(RunConfig().output_dir)


VERBS: dict[str, Callable[..., None]] = {
    "list": list_recipes,
    "doctor": doctor,
    "new": new,
    "launch": launch,
    "augment": augment,
    **run_commands.VERBS,
}
