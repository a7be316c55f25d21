"""What the command line can do besides running and showing recipes. Nothing here imports TensorFlow before it must."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from keraskit.augment import Augmentation
from keraskit.config import RunConfig
from keraskit.errors import UserError, printable
from keraskit.files import PICTURES, check_file, check_outputs, write_text
from keraskit.kinds import check_counts
from keraskit.recipe import BEYOND
from keraskit.registry import recipes_available
from keraskit.results.run_folder import RunFolder
from keraskit.startup import wait_for_tensorflow
from keraskit.terminal import print_table

PREVIEWED = 8  # pictures at most
# Columns set to the right.
NUMBERS = {"parameters", "epochs", "best epoch", "validation", "gap", "test", "seconds"}


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
    *words: Annotated[str, Parameter(allow_leading_hyphen=True)], workers: int = 2, logs: Path = Path("runs/launch")
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
    versions: int = 7,
    seed: int = 0,
    augmentation: Annotated[Augmentation, Parameter(name="*", negative=())] = Augmentation(),  # noqa: B008
) -> None:
    """Show what an augmentation makes of your own pictures: a sheet with each as it is and several random versions.

    Args:
        preview: A picture, or a folder of them, of which the first eight are shown.
        output: The PNG to write.
        versions: Random versions of each.
        seed: Decides them.
        augmentation: What may happen.
    """
    check_counts(versions=versions, most=50)
    check_counts(seed=seed, least=0, most=2**31 - 1)
    check_file(output, PICTURES)
    from keraskit.datasets.images.sources import find

    paths = find([preview])[:PREVIEWED]
    wait_for_tensorflow()
    from keraskit.results.preview import preview as write

    write(paths, augmentation, output, versions, seed)
    print(f"sheet: {printable(output)}")


def predict(
    run: Path,
    *pictures: Path,
    top: int = 3,
    batch_size: int = 32,
    invert: Literal["auto", "yes", "no"] = "auto",
    prepare: Literal["auto", "no"] = "auto",
    json: Path | None = None,
    csv: Path | None = None,
    sheet: Path | None = None,
    show: Literal["mistakes", "unsure", "first"] | None = None,
    evaluate: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Ask a finished run's model what is in pictures. The run's folder knows size, scale and class names.

    Args:
        run: A run's folder, or a folder of runs, of which the newest is taken.
        pictures: Files, folders, patterns such as '*.jpg'; for a run on arrays, an .npy or .npz file of inputs.
        top: Classes to name for each.
        batch_size: Pictures in one call of the model.
        invert: Swap dark and bright; auto does so with grey pictures that differ from the training pictures.
        prepare: For a run on MNIST or the like, auto makes a photograph of a digit such a picture: its paper taken
            away, the ink scaled to 20x20 pixels and centred; a picture of the run's own size stays. no takes all whole.
        json: Write the predictions to this file too.
        csv: The same as CSV.
        sheet: A PNG with the pictures and what was predicted.
        show: What is on the sheet: mistakes, the most confident first; unsure, the least probable first; or the first
            ones (default: mistakes with --evaluate, else first).
        evaluate: Measure accuracy. The pictures are then folders with a subfolder per class of the run, called by
            the class's name or index, or with files called like cat.0.jpg.
    """
    if not pictures:
        raise UserError("No pictures are named.", "Name files, folders or patterns after the run.")
    check_counts(top=top, batch_size=batch_size)
    check_outputs(json, csv, sheet, show, evaluate)
    from keraskit.datasets.images.sources import find
    from keraskit.datasets.images.truth import Labels
    from keraskit.results import manifest

    folder = RunFolder.newest(run)
    if len(pictures) == 1 and pictures[0].suffix in (".npy", ".npz"):
        wait_for_tensorflow()
        from keraskit.results.predict import predict_arrays, show_arrays

        show_arrays(*predict_arrays(folder.path, pictures[0], batch_size), json, csv)
        return
    classes = manifest.read(folder, "classes")["classes"]
    truth, notes = Labels(classes, "this run").of_pictures(pictures) if evaluate else ({}, [])
    paths = list(truth) or find(pictures)
    wait_for_tensorflow()
    from keraskit.results import accuracy, predictions
    from keraskit.results.predict import predict

    rows = list(predict(folder.path, paths, max(top, 5), batch_size, invert, prepare))
    accuracy.show(rows, classes, truth, notes, top)
    predictions.write(rows, json, csv, sheet, top, show)


def resume(run: Path, *, epochs: int | None = None) -> None:
    """Go on with a run that was interrupted, killed, or failed, from its last checkpoint; or train a finished one on.

    Args:
        run: A run's folder, or a folder of runs, of which the newest unfinished one is taken.
        epochs: How many the run is to have in all: a finished run goes on with its optimizer and history. A constant
            learning rate stays as it is; a schedule over the run's steps becomes one over all epochs, and a line says
            where the rate goes on.
    """
    if epochs is not None:
        check_counts(epochs=epochs, most=100_000)
    from keraskit.training.resume import unfinished

    found = unfinished(run, epochs)
    if not found:
        print(f"{printable(run)} has finished: `--epochs` would give it more")
        return
    config, options = found.asked
    wait_for_tensorflow()
    from keraskit.training.runner import train

    recipe = found.card.load()
    found.check_recipe(recipe)
    train(recipe, config, options, found)


def compare(*runs: Path, output: Path = Path("compare.png"), csv: Path | None = None, html: Path | None = None) -> None:
    """Put runs side by side: a table, their curves, and whether a difference is more than chance.

    Runs that differ in their seed alone are one row, with the mean and its standard error.

    Args:
        runs: Folders of runs, and folders that hold such.
        output: The PNG to write.
        csv: Write the table to this file too.
        html: Write a page with it, sortable, with links to the reports.
    """
    if not runs:
        raise UserError("No runs are named.", "Name the folders of two at least, or one that holds them.")
    check_file(output, PICTURES)
    check_file(csv)
    check_file(html, (".html", ".htm"))
    from keraskit.results import compare as comparison

    rows = comparison.compared(runs)
    comparison.draw(rows, output)
    print_table(comparison.HEAD, comparison.table(rows), right=NUMBERS)
    for sentence in comparison.verdicts(rows):
        print(printable(sentence))
    print(f"curves: {printable(output)}")
    if csv:
        write_text(csv, comparison.as_csv(rows))
        print(f"written: {printable(csv)}")
    if html:
        comparison.write_page(html, "Compared runs", [run for row in rows for run in row.runs], rows)
        print(f"page: {printable(html)}")


def runs(folder: Path = Path("runs"), *, html: Annotated[bool, Parameter(negative=())] = False) -> None:
    """List the runs in a folder, the newest last: status and result.

    Args:
        folder: A folder of runs, or of folders of them, such as a class's hand-ins.
        html: Write index.html into it as well, one page: sortable, with small curves and links to the reports.
    """
    from keraskit.results import compare as comparison

    found = comparison.listed(folder)
    lines = [[*words, str(run.folder.path)] for *words, run in found]
    print_table(["started", "run", "status", "result", "folder"], lines)
    if html:
        page = folder / "index.html"
        check_file(page)
        comparison.write_page(page, f"{len(found)} runs in {folder}", [run for *_, run in found])
        print(f"page: {printable(page)}")


def prepare_data(
    name: Literal["cats_dogs"],
    *,
    source: Annotated[Path, Parameter(name="--from")],
    to: Path,
    per_class: int | None = 2000,
) -> None:
    """Make the document's folders train/, validation/ and test/ with a subfolder per class. Again is harmless.

    Args:
        name: The data set.
        source: Kaggle's train.zip, its unpacked folder, or any folder with a subfolder per class.
        to: The folder to make.
        per_class: Photographs of each class of cats and dogs, half of them for training.
    """
    from keraskit.datasets.images.prepare import prepare

    check_counts(per_class=1 if per_class is None else per_class)
    prepare(source, to, per_class)


def new(name: str, *, start: Annotated[str, Parameter(name="--from")] = "mlp", folder: Path = Path()) -> None:
    """Begin a recipe of your own: NAME.py, a copy of one of keraskit's that runs at once, and its test.

    Args:
        name: Of the recipe, and of its file.
        start: The recipe to begin with.
        folder: Where to write both files.
    """
    from keraskit.cli.new import new

    recipe, test = new(name, start, folder)
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
    "resume": resume,
    "predict": predict,
    "compare": compare,
    "runs": runs,
}
