"""A run's folder that anybody may have made: other files, facts of other types, numbers without end, evil names."""

import copy
import csv
import io
import itertools
import json
import os
import shutil
import signal
import tracemalloc
import zipfile
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import command, draw_nothing
from hostile import NASTY, damaged
from PIL import Image
from pydantic import TypeAdapter

from keraskit import files
from keraskit.augment.augmentation import Augmentation
from keraskit.datasets import digits
from keraskit.datasets.images import decode
from keraskit.datasets.preprocessing import Inputs
from keraskit.errors import UserError, printable
from keraskit.runs import listing, opening, pictures, plots, predictions, report
from keraskit.runs.folder import RunFolder, runs_in
from keraskit.runs.listing import Row, Run
from keraskit.tools import compare, explain
from keraskit.tools.demo.demo import write_demo
from keraskit.tools.predict import predict_arrays
from keraskit.training.resume import Checkpoint
from keraskit.training.settings import requested, unfinished

READERS = {  # of each file of a run
    "run.json": [RunFolder.read_manifest],
    "history.csv": [RunFolder.read_history, lambda folder: listing.read(folder.path)],
    "statistics.npz": [lambda folder: Augmentation().fitted(folder.file("statistics.npz"))],
    "checkpoint.npz": [lambda folder: Checkpoint(folder.file("checkpoint.npz"))],
    "predictions.npz": [predictions.read, report.write_report],
    "pictures.npz": [report.read_sheets],
    "any.pictures.npz": [report.write_report],
    "model.keras": [opening.load_model, lambda folder: files.weights_file(str(folder.path))],
}


@contextmanager
def alarm():
    """A pipe would be waited for, a device read until memory ends."""
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)


def endless(path):
    """A file that claims to be larger than any run's, and takes no room."""
    path.touch()
    os.truncate(path, files.MOST_OF_ARRAYS + 1)


TYPES = {
    "pipe": os.mkfifo, "endless": endless,
    "device": lambda path: path.symlink_to("/dev/zero"), "elsewhere": lambda path: path.symlink_to(__file__),
    "a link to itself": lambda path: path.symlink_to(path.name), "dangling": lambda path: path.symlink_to("/nothing"),
    "folder": lambda path: path.mkdir(),  # the last
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_nothing_is_read_but_regular_files_of_this_folder(run, name):
    for make in TYPES.values():
        (run.path / name).unlink(missing_ok=True)
        make(run.path / name)
        for read in READERS[name]:
            with alarm(), pytest.raises(UserError, match=rf"{name} (is refused: it|cannot be read)"):
                read(run)


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused_with_a_reason(run, name, monkeypatch):
    draw_nothing(monkeypatch)
    if name == "statistics.npz":
        np.savez(run.path / name, mean=np.zeros(1, "float32"))
    good = (run.path / name.replace("any.", "")).read_bytes()
    for data in damaged([good], 8):
        (run.path / name).write_bytes(data)
        for read in READERS[name]:
            with alarm(), suppress(UserError):
                read(run)


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
@pytest.mark.parametrize("form", [*decode.FORMATS, "npz"])
def test_a_damaged_picture_or_array_file_is_read_or_refused_with_a_reason(form, tmp_path):
    file, pixels, refused = io.BytesIO(), np.random.default_rng(0).integers(0, 255, (12, 28, 28), np.uint8), 0
    if form == "npz":
        labels = np.arange(12) % 3
        np.savez_compressed(file, x_train=pixels, y_train=labels, x_test=pixels[:6], y_test=labels[:6])
    else:
        Image.fromarray(pixels[0]).save(file, form)
    for data in damaged([file.getvalue()], 40):
        (tmp_path / "own.npz").write_bytes(data)
        with alarm():
            try:
                found = digits.images(dataset=str(tmp_path / "own.npz")) if form == "npz" else decode.read(data)
                whole = found.test.pictures(np.arange(6)) if form == "npz" else decode.pixels(found, (28, 28), 1)[None]
                assert whole.dtype == np.uint8 and whole.shape[1:] == (28, 28)
            except (UserError, decode.BadPicture) as error:
                assert len(str(error)) > 5
                refused += 1
    assert refused > 4 and [path.name for path in tmp_path.iterdir()] == ["own.npz"]


@pytest.mark.parametrize("link", ["exports", "exports/keras"])
def test_no_link_out_of_a_run_is_written_through(run, tmp_path, link):
    (run.path / link).parent.mkdir(exist_ok=True)
    (run.path / link).symlink_to(tmp_path)
    code, _, said = command("export", run.path, "--format", "keras")
    assert code == 2 and f"{link} is refused: it leads out of the run's folder. Remove this link." in said


def test_arrays_to_predict_are_read_from_a_regular_file_alone(run, tmp_path):
    os.mkfifo(tmp_path / "x.npy")
    with pytest.raises(UserError, match=r"x.npy is refused"):
        predict_arrays(run.path, tmp_path / "x.npy")


VALUES = ["x", {"a": {}}, 10**400, None, -(10**6), float("nan")]


def places(tree, at=()):
    for name, value in tree.items():
        yield (*at, name)
        if isinstance(value, dict):
            yield from places(value, (*at, name))


def replaced(tree, place, value):
    tree = copy.deepcopy(tree)
    inner = tree
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return tree


def test_any_field_of_the_manifest_may_be_of_any_type(run, monkeypatch):
    """Whoever reads it has a result, or raises UserError; anything else fails here by itself."""
    draw_nothing(monkeypatch)
    facts = {name: value for name, value in run.read_json("run.json").items() if name not in ("optimizer", "git")}

    def comparing():
        [*map(compare.cells, listing.rows([listing.read(run.path)]))]

    def reporting():
        report.write_report(run)

    def going_on():
        requested(unfinished(run.path))

    def preparing():
        known = run.read_manifest("recipe", "classes", "config")
        with suppress(ValueError, TypeError):  # one line in `predict`
            TypeAdapter(Inputs).validate_python(known["inputs"])
            Augmentation(**known["config"].get("augment") or {})

    refused = {}
    for place in places(facts):
        for value in VALUES:
            text = json.dumps(replaced(facts | {"status": "interrupted"}, place, value))
            (run.path / "run.json").write_text(text)
            pages = [reporting] if VALUES.index(value) == len(refused) % 3 else []  # which take longest
            for read in (comparing, *pages, going_on, preparing):
                try:
                    read()
                except UserError as error:
                    refused.setdefault(place, []).append(str(error))
    for place in (("recipe",), ("choices", "xla"), ("data", "used", "test"), ("timings", "fit")):
        assert any(f"not what a run writes: {'.'.join(place)}: Input should be" in line for line in refused[place])


ODD = [  # what an array may be instead
    lambda a: a.astype(str), lambda a: np.zeros(len(a), "u1,f4"), lambda a: np.zeros(len(a), "M8[s]"),
    lambda a: np.full(len(a), 2**63 + 5, "u8"), lambda a: np.full(len(a), True), lambda a: np.zeros((len(a), 2, 2)),
    lambda a: np.full(a.shape, -(10**12)), lambda a: np.full(a.shape, 1e300),
    lambda a: a[:0], lambda a: a[:-1], lambda a: a[0],
]  # fmt: skip


def comparing(run):
    other = shutil.copytree(run.path, run.path.with_name("other"), dirs_exist_ok=True)
    known = compare.compared([run.path, other])
    [*map(compare.cells, known), *compare.verdicts(known)]


def explaining(run):
    explain.kept(SimpleNamespace(folder=run, inputs=Inputs((28, 28), 1, "unit", (784,))))


ARRAYS = {  # the arrays that are changed, and who reads them
    "predictions.npz": (["test/labels", "test/predictions/", "test/targets/"], [report.write_report, comparing]),
    "pictures.npz": (["right/captions", "right/title", "right/0"], [report.write_report, explaining]),
    "trained_on.npy": ([""], [lambda run: pictures.say_trained_on(run, [run.path / "curves.png"])]),
    "statistics.npz": (["mean"], [lambda run: Augmentation().fitted(run.file("statistics.npz"))]),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ARRAYS)
def test_any_array_may_be_of_any_type_and_shape(run, monkeypatch, name):
    """Whoever reads it has a result, or raises UserError; anything else fails here by itself."""
    draw_nothing(monkeypatch)
    np.savez(run.path / "statistics.npz", mean=np.zeros((1, 1, 1), "f4"))
    np.save(run.path / "trained_on.npy", np.zeros(3, "u8"))
    (places, readers), loaded, refused = ARRAYS[name], np.load(run.path / name), []
    arrays = dict(loaded) if name.endswith(".npz") else {"": loaded}
    for place, odd in itertools.product(places, ODD):
        changed = arrays | {place: odd(arrays[place])}
        np.savez(run.path / name, **changed) if "" not in changed else np.save(run.path / name, changed[""])
        for read in readers:
            try:
                read(run)
            except UserError as error:
                refused.append(str(error))
    assert len(refused) > 4 and all(f"{name} cannot be read as" in line for line in refused)


def test_arrays_that_unpack_to_gigabytes_are_refused_unread(run):
    """Zeros: 600 MB of them take less than 1 MB in a file."""
    names = ("predictions", "pictures", "checkpoint", "statistics")
    readers = {f"{name}.npz": READERS[f"{name}.npz"][0] for name in names}
    header = {"descr": "<i8", "fortran_order": False, "shape": (75_000_000,)}
    zeros = zipfile.ZipFile(run.path / "zeros", "w", zipfile.ZIP_DEFLATED)
    with zeros, zeros.open("test/labels.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
        for _ in range(60):
            member.write(bytes(10**7))
    for name, read in readers.items():
        shutil.copy(run.path / "zeros", run.path / name)
        tracemalloc.start()
        with pytest.raises(UserError, match=rf"{name} claims 0.6 GB of arrays; 0.. GB are allowed"):
            read(run)
        assert tracemalloc.get_traced_memory()[1] < 10**7
        tracemalloc.stop()
    file = run.path / "trained_on.npy"
    np.save(file, np.zeros(3, "u8"))
    file.write_bytes(file.read_bytes().replace(b"(3,)", b"(75000000,)"))
    os.truncate(file, 600_000_128)
    with pytest.raises(UserError, match=r"trained_on.npy claims 0.6 GB of arrays; 0.5 GB are allowed"):
        pictures.say_trained_on(run, [])
    np.savez(run.path / "predictions.npz", **{f"test/predictions/{i}": np.zeros(1) for i in range(10_001)})
    with pytest.raises(UserError, match="it holds 10,001 arrays; 10,000 are allowed"):
        predictions.read(run)


def test_a_manifest_that_may_not_be_read_hides_no_other(run, monkeypatch):
    shutil.copytree(run.path, run.path.with_name("other"))
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path / "denied" if path.parent.name == "other" else path))
    assert [folder.path for folder, _ in runs_in(run.path.parent)] == [run.path]


def test_a_kept_picture_is_no_larger_than_the_models_and_neither_is_larger_than_a_picture(run):
    large = np.frombuffer(report.encoded(np.zeros((200, 200), np.uint8), 0), np.uint8)
    np.savez(run.path / "pictures.npz", **dict(np.load(run.path / "pictures.npz")) | {"right/0": large})
    for write in (explaining, lambda run: write_demo(run.path)):
        with pytest.raises(UserError, match=r"pictures.npz cannot be read .*has 200 x 200 pixels; 25,600 are allowed"):
            write(run)
    for shape in ((9_000, 9_000, 1), {"a": (28, 28, 1), "b": (9_000, 9_000, 1)}):
        with pytest.raises(ValueError, match=r"a picture has 81,000,\d+ values; 80,000,000 are allowed"):
            Inputs((9_000, 9_000) if "a" not in shape else (28, 28), 1, "unit", shape)


def test_a_history_or_manifest_that_is_too_long_is_refused_unread(run):
    (run.path / "history.csv").write_text("epoch,val_loss\n1,1\n")
    with pytest.raises(UserError, match=r"history.csv is damaged: it has no epoch, no seconds"):
        run.read_history()
    (run.path / "history.csv").write_text("epoch,loss,val_loss\n" + 170_000 * "1,1,1\n")
    with pytest.raises(UserError, match=r"history.csv is damaged: it has 510,003 cells; 500,000 are allowed"):
        report.write_report(run)
    run.update_manifest(classes=[""] * 1_001)
    with pytest.raises(UserError, match="classes: List should have at most 1000 items"):
        run.read_manifest()
    (run.path / "run.json").write_text(f"[{3_400_000 * '0, '}0]")
    with pytest.raises(UserError, match=r"run.json is refused: it has 10,200,003 bytes; 10,000,000 are allowed"):
        run.read_manifest()


def test_any_number_in_a_history_is_shown_in_its_room(run, tmp_path, recwarn):
    known = run.read_history()
    for name, value in (("loss", np.inf), ("val_accuracy", -1e308), ("seconds", np.nan), ("epoch", 1e308)):
        known = [row | {name: value} for row in known]
    run.write_history(known)
    other = shutil.copytree(run.path, tmp_path / "other")
    code, out, err = command("compare", run.path, other, "--output", tmp_path / "c.png")
    assert (code, err) == (0, "") and max(map(len, out.splitlines())) < 200 + len(str(tmp_path))
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.width == 1_088 and picture.height < 1_100
    report.write_report(run)
    assert "0" * 50 not in (run.path / "report.html").read_text().partition("The model")[0]
    plots.save(plots.curves(run.read_history(), 1), tmp_path / "d.png")
    assert not [str(each.message) for each in recwarn if "matplotlib" in each.filename]


# Names and texts: markup, escapes of terminals, formulas of spreadsheets and of TeX


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.scripts = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, *sorted(name for name, _ in attributes)))
        self.scripts += [""] if tag == "script" else []

    def handle_data(self, data):
        self.text += data
        if self.lasttag == "script":
            self.scripts[-1] += data


def infected(value):
    if isinstance(value, dict):
        return {key: infected(each) for key, each in value.items()}
    return [infected(each) for each in value] if isinstance(value, list) else NASTY if isinstance(value, str) else value


def test_a_report_has_the_same_tags_whatever_the_texts_say(run):
    report.write_report(run)
    plain = Page((run.path / "report.html").read_text())
    facts = run.read_json("run.json")
    run.write_json("run.json", {**infected(facts), "test": {"accuracy": 0.9, NASTY: 1.0}, "timings": facts["timings"]})
    run.write_text("summary.txt", NASTY)
    with np.load(run.path / "pictures.npz") as file:
        known = {name: np.full(a.shape, NASTY) if name.endswith("captions") else a for name, a in file.items()}
    np.savez(run.path / "pictures.npz", **known)
    rows = run.read_history()
    run.write_history([row | {NASTY: 1.0} for row in rows])
    report.write_report(run)
    nasty = Page((run.path / "report.html").read_text())
    assert set(nasty.tags) == set(plain.tags) and "<script>alert('x')</script>" in nasty.text
    assert nasty.scripts == plain.scripts == []
    assert nasty.text.count("<script>alert('x')</script>") > 40  # in tables and captions alike


def test_a_terminal_is_shown_no_escape(run, here):
    run.update_manifest(recipe=NASTY, data={"name": NASTY + ":cat:", "used": {}})
    shutil.copytree(run.path, "other")
    run.path.rename("run")
    code, out, err = command("compare", "run", "other", "--output", "\x1b[31m\udcff.png")
    assert (code, err) == (0, "")
    assert all(c.isprintable() or c == "\n" for c in out) and "\\x1b[31m\\udcff.png" in out and ":cat:" in out
    code, _, err = command("predict", "run", "\x1b]0;title\x07\x9b31m\n\u202e\udcff.jpg")
    assert code == 2 and "\\x1b]0;title\\x07\\x9b31m" in err and err.removesuffix("\n").isprintable()


def test_pictures_are_drawn_of_any_names(tmp_path):
    names = [NASTY, "$\\bad{$", "$", "雪 é", "\udcff", "", "x" * 500, "a\nb"]
    plots.save(confusion := plots.confusion(np.eye(8, dtype=int), names), tmp_path / "a.png")
    assert max(len(label.get_text()) for label in confusion.axes[0].get_xticklabels()) <= 40  # in a line each
    plots.save(plots.sheet(plots.Sheet(np.zeros((8, 5, 5), np.uint8), names)), tmp_path / "b.png")
    rows = [{"$\\bad{$": 1.0, "val_$\\bad{$": 1.0}]
    compare.draw([Row(name, [Run(RunFolder(tmp_path), {}, rows)]) for name in names], tmp_path / "c.png")
    plots.save(plots.curves([{"epoch": 1, "loss": 1.0, "val_loss": 1.0, "$\\bad{$": 1.0}], 1), tmp_path / "d.png")


def test_a_table_holds_no_formula_and_its_numbers_stay_numbers(tmp_path):
    evil = ("=1", "+1", "-1", "@f", "\t=1", "\r=1", " =1", "＝1", "-rf", "\n=1")
    rows = [pictures.Prediction(Path(name), name, [(name, 0.5)], name, name) for name in evil]
    pictures.write(rows, tmp_path / "rows.json", tmp_path / "rows.csv", None)
    cells = list(csv.reader(io.StringIO((tmp_path / "rows.csv").read_text())))
    assert len(cells) == 1 + len(evil)
    for row in cells[1:]:
        assert float(row.pop(5)) == 0.5
        assert all(not cell.lstrip().startswith(("=", "+", "-", "@", "＝")) and printable(cell) == cell for cell in row)
    (first, *_) = json.loads((tmp_path / "rows.json").read_text())
    assert (first["class_1"], first["probability_1"]) == ("=1", 0.5)
