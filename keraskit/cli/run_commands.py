"""Commands on runs: resume, predict, compare, list, verify, explain, export, demo."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from keraskit import start
from keraskit.datasets.tables import refuse_table
from keraskit.errors import UserError, counted, print_table, printable
from keraskit.files import PAGES, PICTURES, check_file, check_new, write_text
from keraskit.runs.folder import newest
from keraskit.typed import Count

SHOWN, COLUMNS = 10, 12  # examples of arrays, and their values, printed
NUMBERS = {"parameters", "epochs", "best epoch", "validation", "gap", "test", "seconds"}  # right-aligned columns
Run = Annotated[Path, Parameter(help="A run's folder, or a folder of runs, of which the newest finished one is taken.")]
PICTURE = Parameter(validator=lambda _, file: check_file(file, PICTURES))
NewPicture = Annotated[Path, PICTURE, Parameter(help="The PNG to write.")]
NewPage = Annotated[Path | None, Parameter(validator=lambda _, file: check_file(file, PAGES))]
NewFile = Annotated[Path | None, Parameter(validator=lambda _, file: check_file(file))]
OneAtLeast = Annotated[Path, Parameter(required=True)]
FILE = "Your recipe's file, for a run of your own recipe: it is imported before the model is loaded."
RecipeFile = Annotated[Path | None, Parameter(help=FILE)]
Switch = Annotated[bool, Parameter(negative=())]
Format = Literal["keras", "saved_model", "onnx", "litert"]


@Parameter(name="*")
@dataclass(frozen=True)
class Asked:
    """Flags of commands that predict."""

    top: Count = 3
    """Classes per picture."""
    batch_size: Count = 32
    """Pictures per model call."""
    json: NewFile = None
    """Also write the predictions to this file."""
    csv: NewFile = None
    """Also write the predictions as CSV."""
    sheet: Annotated[Path | None, PICTURE] = None
    """A PNG with the first pictures and their predictions; with --evaluate, the most confident mistakes."""
    evaluate: Switch = False
    """Measure accuracy. Pictures are then in a folder per class, or have names like cat.0.jpg."""


def predict(
    run: Run,
    *pictures: OneAtLeast,
    asked: Asked = Asked(),
    invert: Literal["auto", "yes", "no"] = "auto",
    prepare: Literal["auto", "no"] = "auto",
    recipe: RecipeFile = None,
) -> None:
    """Predict pictures with a finished run's model. Size, scale and class names come from the run's folder.

    Args:
        pictures: Files, folders, patterns such as '*.jpg'; or one .npy or .npz file of examples.
        invert: Swap dark and bright; auto does so for grey pictures that differ from the training pictures in this.
        prepare: For a run on MNIST or the like, auto converts a photograph of a digit to such a picture: paper removed,
            ink scaled to 20x20 pixels and centred; other pictures are unchanged. no leaves all unchanged.
    """
    from keraskit.datasets.images.layout import Labels
    from keraskit.datasets.images.sources import find

    folder = newest(run, unfinished=True)
    facts = folder.read_manifest("config.epochs", "status")
    if facts["status"] != "finished":
        best = f"its model is the best of {len(folder.read_history())} of {facts['config']['epochs']} epochs"
        print(f"NOTE           {printable(folder.path)} is {printable(facts['status'])}: {best}", flush=True)
    for file in pictures:
        array, taken = file.parent / f"{file.stem}.npy", "`predict` takes pictures, or the model's inputs as an .npy"
        then = f"These lines make {array}, without the target:"
        refuse_table(file, taken, then, f"np.save({str(array)!r}, x)", target=False)
    if arrays := [file for file in pictures if file.suffix in (".npy", ".npz")]:
        if pictures[1:] or asked.evaluate or asked.sheet:
            raise UserError(f"{arrays[0]} holds arrays.", "Name it alone, without --evaluate and --sheet.")
        from keraskit.runs.pictures import write_table
        from keraskit.tools.predict import predict_arrays

        names, outputs = predict_arrays(folder.path, arrays[0], asked.batch_size, recipe)
        rows = outputs.tolist()
        shown = names[:COLUMNS]
        print_table(shown, [[f"{value:.6g}" for value in row[:COLUMNS]] for row in rows[:SHOWN]], right=shown)
        for left, what in ((len(names) - COLUMNS, "column"), (len(rows) - SHOWN, "row")):
            print(f"and {counted(left, f'more {what}')}; --csv FILE has all\n" * (left > 0), end="")
        write_table(names, rows, asked.json, asked.csv)
        return
    classes = folder.read_manifest("classes")["classes"]
    truth = Labels(classes, "this run").of_pictures(pictures) if asked.evaluate else {}
    paths = list(truth) or find(pictures)
    from keraskit.runs.pictures import say_trained_on, show, write
    from keraskit.tools.predict import predict

    how = {"invert": invert, "prepare": prepare}
    found = list(predict(folder.path, paths, max(asked.top, 5), asked.batch_size, recipe, **how))
    show(found, classes, truth, asked.top)
    write(found, asked.json, asked.csv, asked.sheet, asked.top)
    say_trained_on(folder, list(truth))


def resume(run: Path, *, epochs: Count | None = None, recipe: RecipeFile = None) -> None:
    """Resume an interrupted, killed or failed run from its last checkpoint, or train a finished one for more epochs.

    Args:
        run: A run's folder, or a folder of runs, of which the newest unfinished one is used.
        epochs: Total number of epochs: a finished run continues with its optimizer and history. A constant learning
            rate is unchanged; a schedule over the run's steps is extended to all epochs: a cosine goes on at half its
            peak where they are doubled.
    """
    from keraskit.training.settings import requested, unfinished

    folder = unfinished(run, epochs)
    if not folder:
        print(f"{printable(run)} has finished: `--epochs` would give it more")
        return
    found, config, options = requested(folder, recipe)
    config = config.replace(epochs=epochs) if epochs else config
    from keraskit.training.runner import train

    train(found, config, options, run=folder, ago=time.perf_counter() - start.BEGAN)


def compare(
    *runs: OneAtLeast, output: NewPicture = Path("compare.png"), csv: NewFile = None, html: NewPage = None
) -> None:
    """Compare runs: a table, their curves, and whether differences are more than chance.

    Runs that differ only in their seed are one row, with the mean and its standard error.

    Args:
        runs: Run folders, and folders that contain them.
        csv: Also write the table to this file.
        html: Write a page with all of it, and links to the reports.
    """
    from keraskit.runs.listing import write_page
    from keraskit.tools import compare as comparison

    rows = comparison.compared(runs)
    cells, verdicts = [comparison.cells(row) for row in rows], comparison.verdicts(rows)
    charts = comparison.draw(rows, output)  # last, so that nothing is written of runs that are refused
    print_table(comparison.HEAD, cells, right=NUMBERS)
    for sentence in verdicts:
        print(printable(sentence))
    print(f"curves: {printable(output)}")
    if csv:
        write_text(csv, comparison.as_csv(rows))
        print(f"written: {printable(csv)}")
    if html:
        lines = [(line, row.runs[0].folder.path) for line, row in zip(cells, rows, strict=True)]
        write_page(html, "Compared runs", comparison.HEAD, lines, NUMBERS, verdicts, charts)
        print(f"page: {printable(html)}")


def runs(folder: Path = Path("runs"), *, html: Switch = False) -> None:
    """List the runs in a folder, newest last, with status and result.

    Args:
        folder: A folder of runs, or of folders of runs, such as a class's hand-ins.
        html: Also write index.html into it, a page with links to the reports.
    """
    from keraskit.runs import listing

    lines, copies = listing.table([folder])
    print_table(listing.HEAD, lines)
    for sentence in copies:
        print(printable(sentence))
    if html:
        page = folder / "index.html"
        check_file(page, PAGES)
        linked = [(line, Path(line[-1])) for line in lines]
        listing.write_page(page, f"{len(lines)} runs in {folder}", listing.HEAD, linked, sentences=copies)
        print(f"page: {printable(page)}")


def verify(run: Path, *, recipe: RecipeFile = None) -> None:
    """Evaluate a finished run again, and check that metrics, weights, data and predictions agree.

    Args:
        run: A run's folder; or a folder of runs, such as a class's hand-ins, which are checked in a line each;
            with --recipe, only runs of a recipe file of that name use it.
    """
    from keraskit.runs.listing import find

    found = sorted(find([run]))
    from keraskit.tools import verify as tool

    (tool.verify_all if found[1:] else tool.verify)(*found, recipe=recipe)


def explain(
    run: Run,
    *pictures: Annotated[Path, Parameter(help="Files, folders, patterns such as '*.jpg'.")],
    mistakes: Switch = False,
    output: NewPicture = Path("explained.png"),
    recipe: RecipeFile = None,
) -> None:
    """Explain a run's predictions by maps over pictures: Grad-CAM, or saliency in models without convolutions.

    Args:
        mistakes: Explain eight of the run's mistakes and eight correct predictions, and add them to its report.
    """
    if not pictures and not mistakes:
        raise UserError("No pictures are named.", "Name files, folders or patterns after the run, or say --mistakes.")
    from keraskit.datasets.images.sources import find

    paths = find(pictures) if pictures else []
    folder = newest(run)
    from keraskit.tools.explain import explain

    explain(folder.path, paths, mistakes, output, recipe)


def export(
    run: Run,
    *,
    format: Annotated[list[Format], Parameter(consume_multiple=(1, 4), negative=())] = [],  # noqa: B006
    limit: Count | None = None,
    output_dir: Path | None = None,
    recipe: RecipeFile = None,
) -> None:
    """Export a finished run's model for other runtimes, each with a predict.py that does not need keraskit.

    An export is kept only if its runtime predicts the test split as Keras does.

    Args:
        format: One or several (default: all).
        limit: Test examples to compare (default: all).
        output_dir: Folder for a subfolder per format (default: exports in the run's).
    """
    folder = newest(run)
    to = output_dir or folder.folder("exports")
    from keraskit.runs.opening import load_model
    from keraskit.tools.export import export as exporting
    from keraskit.training.setup import reopen

    names = exporting.chosen(format)
    for name in names:
        check_new(to / name)
    _, splits, _ = reopen(folder, recipe)
    case = exporting.exportable(load_model(folder, recipe), folder.read_manifest(), splits.test.limited(limit))
    exporting.export(case, names, to)


def demo(run: Run, *, output: NewPage = None, recipe: RecipeFile = None) -> None:
    """Write an offline page where a run's model classifies what is drawn or dropped on it.

    Args:
        run: The folder of a run on pictures, or a folder of runs, of which the newest finished one is used.
        output: The page to write (default: demo.html in the run's folder).
    """
    folder = newest(run)
    from keraskit.tools.demo.demo import write_demo

    page = write_demo(folder.path, output, recipe)
    print(f"page: {printable(page)} ({page.stat().st_size / 1e6:.1f} MB)")
