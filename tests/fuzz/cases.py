"""What is fuzzed: for each kind of input a strategy that makes cases, and what is done with a case."""

import gzip
import io
import json
import os
import shutil
import struct
import warnings
import zipfile
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import keras
import laws
import numpy as np
from hypothesis import strategies as st
from PIL import Image

import keraskit
from keraskit import augment, cli, commands, doctor, recipe
from keraskit.config import RunConfig, changed, flags
from keraskit.datasets import array_files, checked, pictures
from keraskit.datasets.layout import arrange
from keraskit.datasets.picture_files import open_files
from keraskit.results import report, table
from keraskit.results.run_folder import RunFolder
from keraskit.training import campaign, prepare, runner, tune

EVIL = (
    *(
        "",
        " ",
        "-",
        "--",
        "-rf",
        "--help",
        "0",
        "-1",
        "nan",
        "inf",
        "1e400",
        "9" * 5_000,
        "None",
        "true",
        "{}",
        '{"a":',
    ),
    *("[1,2", "=cmd|' /C calc'!A0", "@SUM(1)", "\x1b[31m", "a\nb", "\r", "\t", "é雪", "\udcff", "\u202e", "x" * 300),
    *(
        "~nosuchuser/x",
        "../x",
        "/proc/x",
        "$(touch x)",
        "; touch x",
        "`touch x`",
    ),
    *("<script>alert(1)</script>", "$\\frac$", "%s%n", "nowhere", "*.png", "**", "[", "%00", "con", "."),
)
THERE = ("pets", "pets/cat", "pets/cat/0.png", "pets.zip", "own.npz", "run", "run/model.keras", "pipe", "loop", "idx")
TEXT = st.one_of(st.sampled_from(EVIL), st.text(st.characters(exclude_characters="\0"), max_size=12))
NUMBER = st.one_of(st.integers(), st.floats(), st.sampled_from([2**31, 2**63, -(2**63), 10**400, 1e308]))
VALUE = st.one_of(TEXT, NUMBER, st.none(), st.booleans(), st.just([]), st.just({}), st.just([[[]]]), st.just({"a": {}}))


@dataclass
class Box:
    """A place to work in, with a small data set of each kind and a finished run; the process's working folder."""

    root: Path
    cache: Path

    @classmethod
    def make(cls, root, cache, finished):
        """Fill a folder. `finished` is the folder of a run on MNIST."""
        box = cls(root, cache)
        for kind, colour in (("cat", 60), ("dog", 190)):
            (root / "pets" / kind).mkdir(parents=True)
            for i in range(5):
                (root / "pets" / kind / f"{i}.png").write_bytes(encoded("PNG", colour + i))
        with zipfile.ZipFile(root / "pets.zip", "w") as file:
            for path in sorted((root / "pets").rglob("*.png")):
                file.write(path, path.relative_to(root))
        np.savez(root / "own.npz", **small_arrays())
        (root / "idx").mkdir()
        os.mkfifo(root / "pipe")
        (root / "loop").symlink_to("loop")
        for name in ("run", "other"):
            (root / name).mkdir()
            for each in ("run.json", "history.csv", "model.keras", "summary.txt", "metrics.json", "curves.png"):
                found = finished / each
                (root / name / each).write_bytes(found.read_bytes() if found.exists() else b"text")
        (root / "digit.png").write_bytes(encoded("PNG", 0, (28, 28), "L"))
        return box


def encoded(form, colour=120, size=(14, 10), mode="RGB", **options):
    """A small picture as a file's bytes."""
    ramp = np.add.outer(np.arange(size[1]) * 3, np.arange(size[0]) * 5) + colour
    image = Image.fromarray(ramp.clip(0, 255).astype(np.uint8)).convert("L" if mode == "P" else mode)
    file = io.BytesIO()
    (image.quantize(8) if mode == "P" else image).save(file, form, **options)
    return file.getvalue()


def small_arrays():
    """Twelve pictures in Keras's layout."""
    y = np.arange(12, dtype=np.uint8) % 3
    x = np.random.default_rng(0).integers(0, 255, (12, 28, 28), dtype=np.uint8)
    return {"x_train": x, "y_train": y, "x_test": x[:6], "y_test": y[:6]}


@st.composite
def damaged(draw, originals):
    """A file's bytes with some changed, some cut off, some put in."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(data) - 1)) if data else 0
        what = draw(st.sampled_from(["set", "cut", "insert", "repeat", "long"]))
        if what == "set":
            data[place : place + 1] = bytes([draw(st.sampled_from([0, 1, 127, 128, 255, place % 256]))])
        elif what == "cut":
            del data[place : place + draw(st.sampled_from([1, 4, len(data)]))]
        elif what == "insert":
            data[place:place] = draw(st.binary(max_size=8))
        elif what == "repeat":
            data[place:place] = data[place : place + 64] * 2
        else:
            data[place : place + 4] = draw(st.sampled_from([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"]))
    return bytes(data)


# Command lines

VERBS = ("run", "show", "tune", "list", "doctor", "results", "augment", "predict", "compare", "data", "rum", "")
GOOD = (
    ("predict", "run", "digit.png", "pets"),
    ("compare", "run", "other"),
    ("augment", "--preview", "digit.png"),
    ("data", "prepare", "cats_dogs", "--from", "pets.zip", "--to", "out"),
    ("run", "mlp", "--quick", "--dataset", "own.npz"),
    ("run", "cats_dogs", "--quick", "--data-dir", "pets"),
    ("run", "mlp", "--quick", "--weights", "run"),
    ("run", "cnn", "--quick", "--augment.rotation-range", "9"),
    ("run", "classify", "digit.png"),
    ("show", "mlp", "--model.hidden", "8"),
    ("tune", "mlp"),
)
RECIPES = (*recipe.recipes_available(), "mpl", "")
KNOB_FLAGS = tuple(f"--{f.replace('_', '-')}" for f in RunConfig.__dataclass_fields__ if f != "augment")
AUGMENT_FLAGS = tuple(f.replace("_", "-") for f in augment.Augmentation.__dataclass_fields__)
RUN_FLAGS = (*KNOB_FLAGS, *(f"--augment.{f}" for f in AUGMENT_FLAGS), "--model.hidden", "--hidden", "--classes")
OWN_FLAGS = {
    "run": (*RUN_FLAGS, "--top", "--crop", "--alpha", "--evaluate"),
    "tune": RUN_FLAGS,
    "show": ("--graph", "--model.hidden", "--hidden", "--model.as-printed"),
    "results": ("--to", "--output-dir", "--readme", "--again", "--flags"),
    "augment": ("--preview", "--output", "--versions", "--seed", *(f"--{f}" for f in AUGMENT_FLAGS)),
    "predict": ("--top", "--batch-size", "--json", "--csv", "--sheet"),
    "compare": ("--output",),
    "data": ("--from", "--to", "--how", "--per-class"),
}
FLAGS = ("-h", "-x", "--version", "--no-quick", *(flag for flags in OWN_FLAGS.values() for flag in flags))
WORD = st.one_of(
    TEXT, st.sampled_from(THERE), NUMBER.map(lambda n: f"{n:.20g}" if isinstance(n, float) else str(n)[:400])
)


@st.composite
def command_lines(draw):
    """A verb, often a recipe, or a line that is good; and flags with values that may not be theirs."""
    words = list(draw(st.sampled_from(GOOD))) if draw(st.booleans()) else [draw(st.sampled_from(VERBS))]
    if len(words) > 1 and draw(st.booleans()):
        words[draw(st.integers(1, len(words) - 1))] = draw(WORD)
    words += [draw(st.sampled_from(RECIPES))] if words[-1] in ("run", "show", "tune") and draw(st.booleans()) else []
    words += ["prepare", "cats_dogs"] if words[-1] == "data" and draw(st.booleans()) else []
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.integers(0, 3)):
            words.append(draw(st.sampled_from(OWN_FLAGS.get(words[0], FLAGS) if draw(st.integers(0, 5)) else FLAGS)))
        words.append(draw(WORD))
    return words


def run_command(words, box):
    """The real command line, with what trains, downloads or starts processes left out."""
    laws.command(words)


# Knobs given from Python

NAMES = TEXT.filter(lambda name: name not in ("recipe", "model"))
KNOBS = st.dictionaries(st.one_of(st.sampled_from(list(RunConfig.__dataclass_fields__)), NAMES), VALUE, max_size=4)
DRAWN = st.dictionaries(
    st.one_of(st.sampled_from([f for f in augment.Augmentation.__dataclass_fields__ if f != "statistics"]), TEXT),
    st.one_of(VALUE, st.lists(NUMBER, max_size=3)),
    max_size=3,
)
CONFIGS = st.builds(lambda knobs, drawn: {**knobs, "augment": drawn} if drawn else knobs, KNOBS, DRAWN)


def check_config(knobs, box):
    """Knobs are refused, or give flags that a shell takes as so many words."""

    def call():
        keraskit.run("no such recipe", **knobs)

    laws.reads(call)
    if set(knobs) <= set(RunConfig.__dataclass_fields__):
        config = laws.reads(lambda: RunConfig(**knobs))
        if config is not None:
            assert "--" in flags(changed(config)) or config == RunConfig()


# Pictures

PICTURES = [
    *(encoded(form) for form in pictures.FORMATS),
    *(encoded("PNG", mode=mode) for mode in ("L", "LA", "RGBA", "P", "1")),
    *(encoded("JPEG", mode=mode) for mode in ("L", "CMYK")),
    encoded("JPEG", progressive=True, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"),
    encoded("GIF", mode="P"),
    encoded("WEBP", lossless=True),
]


def check_picture(data, box):
    """A picture of 8 bits with pixels, or a reason."""
    image = laws.reads(lambda: pictures.read(data), pictures.BadPicture)
    if image is not None:
        assert image.mode in {"RGB", "L"} and min(image.size) > 0
        assert pictures.pixels(image, (5, 7)).shape == (5, 7, 3) and pictures.pixels(image, (5, 7), 1).shape == (5, 7)
        assert pictures.middle(image).width <= image.width


# Arrays


def npz(arrays, **options):
    """The bytes of an .npz file."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays, **options)
    return file.getvalue()


@st.composite
def odd_arrays(draw):
    """Keras's layout with one array of another kind or shape."""
    arrays = small_arrays()
    kind = draw(st.sampled_from(["u1", "i2", "i8", "f2", "f4", "f8", "c8", "?", "O", "U3", "M8[s]", "u1,f4", "S2"]))
    shape = draw(st.lists(st.integers(0, 7), max_size=5))
    name = draw(st.sampled_from([*arrays, "x", "../x"]))
    with np.errstate(all="ignore"):
        value = draw(st.sampled_from([0, 1, -1, 255, 300, 1e9]))
        arrays[name] = np.full(shape, value, "f8").astype(kind, casting="unsafe")
    return npz(arrays)


@st.composite
def forged(draw):
    """An .npz whose array says of itself what is not so."""
    header = draw(
        st.one_of(
            st.sampled_from(
                [
                    "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 28, 28), }",
                    "{'descr': '<f8', 'fortran_order': True, 'shape': (-1, 28), }",
                    "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
                    "{'descr': '|u1', 'fortran_order': False, 'shape': " + "(" * 200 + ")" * 200 + "}",
                    "__import__('os').system('touch x')",
                    "{'descr': [('a', '|u1'), ('a', '<f8')], 'fortran_order': False, 'shape': (2,)}",
                ]
            ),
            st.text(max_size=40),
        )
    ).encode("latin-1", "replace")
    version = draw(st.sampled_from([1, 2, 3, 9]))
    size = struct.pack("<H" if version == 1 else "<I", len(header))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in array_files.NAMES:
            archive.writestr(
                f"{name}.npy", b"\x93NUMPY" + bytes([version, 0]) + size + header + draw(st.binary(max_size=9))
            )
    return file.getvalue()


NPZ = st.one_of(damaged([npz(small_arrays())]), odd_arrays(), forged())


def check_npz(data, box):
    """Four arrays of the kinds that training takes, or a reason."""
    path = box.root / "case.npz"
    path.write_bytes(data)
    well_formed(laws.reads(lambda: array_files.read(path)))


def well_formed(arrays):
    """What `array_files.read` promises."""
    if arrays is not None:
        assert {a.dtype.name for n, a in arrays.items() if n[0] == "x"} == {"uint8"} and arrays["y_train"].dtype == int
        assert all(len(arrays[f"x_{part}"]) == len(arrays[f"y_{part}"]) > 0 for part in ("train", "test"))


def idx(array):
    """The bytes of an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


IDX = st.tuples(
    st.sampled_from(array_files.NAMES),
    st.one_of(
        damaged([idx(a) for a in small_arrays().values()]),
        st.builds(
            lambda kind, shape, data: (
                bytes([0, 0, kind, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape) + data
            ),
            st.integers(0, 255),
            st.lists(st.sampled_from([0, 1, 2, 28, 2**16, 2**31, 2**32 - 1]), max_size=8),
            st.binary(max_size=50),
        ),
        st.just(bytes([0, 0, 8, 1]) + (5).to_bytes(4, "big") + bytes(1_000_000)),
    ),
    st.sampled_from(["", ".gz", "broken.gz"]),
)


def check_idx(case, box):
    """The same for four IDX files, one of which is odd."""
    odd, data, ending = case
    shutil.rmtree(box.root / "idx")
    (box.root / "idx").mkdir()
    for name, array in small_arrays().items():
        content = data if name == odd else idx(array)
        content = gzip.compress(content, 1) if ending == ".gz" else content
        (box.root / "idx" / f"{array_files.IDX_FILES[name]}-ubyte{ending[-3:]}").write_bytes(content)
    well_formed(laws.reads(lambda: array_files.read(box.root / "idx")))


# Archives

NAME = st.one_of(
    st.sampled_from(
        ["cat/1.png", "cat.1.png", "dog.2.jpg", "../x.png", "/etc/x.png", "c:x.png", "a\\b.png", "train/cat/3.png"]
    ),
    st.builds(lambda kind, n: f"{kind}/{n}.png", TEXT, st.one_of(st.integers(0, 99), st.just("9" * 5_000))),
)


@st.composite
def archives(draw):
    """A zip with good pictures, odd names and contents, and perhaps damage."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        for kind in ("cat", "dog"):
            for i in range(draw(st.sampled_from([0, 5]))):
                archive.writestr(f"pets/{kind}/{i}.png", PICTURES[1])
        for name in draw(st.lists(NAME, max_size=4)):
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
            info.external_attr = draw(st.sampled_from([0, 0o120777 << 16, 0o10644 << 16]))
            info.compress_type = draw(st.sampled_from([0, 8, 12, 14]))
            archive.writestr(info, draw(st.sampled_from([b"", PICTURES[1], b"../../etc/passwd", bytes(100_000)])))
    data = file.getvalue()
    return draw(damaged([data])) if draw(st.booleans()) else data


def check_archive(data, box):
    """Read where it is, and sorted into folders below the one that is named; never anywhere else."""
    path, to = box.root / "case.zip", box.root / "out"
    path.write_bytes(data)
    shutil.rmtree(to, ignore_errors=True)
    files = laws.reads(lambda: open_files(path))
    if files is not None:
        laws.reads(lambda: arrange(files.names, path))
        laws.reads(lambda: checked.check(files, files.names))
    with laws.writing_only(to, box.cache):
        laws.command(["data", "prepare", "cats_dogs", "--from", str(path), "--to", str(to)])


# Run folders

FILES = ("run.json", "history.csv", "model.keras", "summary.txt", "metrics.json", "curves.png", "architecture.svg")
READERS = ("compare", "report", "predict", "results")


@st.composite
def damage(draw):
    """What is done to which file of a run, and who reads it then."""
    file = draw(st.sampled_from(FILES))
    what = draw(
        st.sampled_from(["missing", "cut", "swapped", "empty", "noise", "folder", "link", "pipe", "changed", "value"])
    )
    if what == "value":
        file = draw(st.sampled_from(("run.json", "run.json", "history.csv")))
    readers = ("predict",) if file == "model.keras" else READERS
    where = draw(st.lists(st.integers(0, 30), min_size=1, max_size=4))
    return file, what, where, draw(VALUE), draw(st.binary(max_size=40)), draw(st.sampled_from(readers))


def put_value(tree, where, value):
    """Replace what lies at a place in JSON, found by number, or take it out."""
    for i, step in enumerate(where):
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = keys[step % len(keys)]
        if i == len(where) - 1 or not isinstance(tree[key], dict | list):
            if value == {"a": {}}:
                del tree[key]
            else:
                tree[key] = value
            return
        tree = tree[key]


def harm(folder, file, what, where, value, noise):
    """Do it."""
    path = folder / file
    data = path.read_bytes() if path.is_file() else b""
    path.unlink(missing_ok=True)
    others = {
        "cut": data[: len(data) * where[0] // 31],
        "noise": noise,
        "empty": b"",
        "swapped": (folder / "summary.txt").read_bytes() if file != "summary.txt" else b"{}",
    }
    if what in others:
        path.write_bytes(others[what])
    elif what == "folder":
        path.mkdir()
    elif what == "link":
        path.symlink_to("/etc/passwd")
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "changed":
        changed_data = bytearray(data)
        for place in where:
            if changed_data:
                changed_data[(place * 997) % len(changed_data)] ^= 1 << place % 8
        path.write_bytes(changed_data)
    elif what == "value" and file == "run.json":
        tree = json.loads(data)
        put_value(tree, where, value)
        path.write_bytes(
            json.dumps(tree, ensure_ascii=False).encode("utf-8", "surrogatepass" if where[0] % 2 else "replace")
        )
    elif what == "value":
        lines = [line.split(",") for line in data.decode().splitlines()]
        line = lines[where[0] % len(lines)]
        line[where[-1] % len(line)] = str(value)[:2_000]
        path.write_bytes("\n".join(map(",".join, lines)).encode("utf-8", "replace"))


class Tags(HTMLParser):
    """The tags of a page, and where its pictures and links lead."""

    def __init__(self, page):
        super().__init__()
        self.names, self.leads, self.others = set(), [], set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        """Note it."""
        self.names.add(tag)
        for name, value in attributes:
            (self.leads.append(value[:11]) if name in {"src", "href"} else self.others.add(name))


PAGE = Tags((Path(report.__file__).parent / "report.html.jinja").read_text())


def check_run(case, box):
    """Whoever reads a damaged run gives a clean result or one line."""
    *done, reader = case
    bad = box.root / "bad"
    shutil.rmtree(bad, ignore_errors=True)
    shutil.copytree(box.root / "run", bad)
    harm(bad, *done)
    if reader == "compare":
        laws.command(["compare", "bad", "other", "--output", "curves.png"])
    elif reader == "predict":
        laws.command(["predict", "bad", "digit.png", "--csv", "guesses.csv"])
    elif reader == "results":
        card = recipe.find_card("mlp")
        entry = laws.reads(lambda: table.entry(RunFolder(bad), card))
        if entry is not None:
            RunFolder(box.root).write_json("results.json", {"mlp": entry})
            entries = laws.reads(lambda: table.read(box.root / "results.json"))
            if entries is not None:
                table.markdown(entries)
    else:
        (bad / "report.html").unlink(missing_ok=True)
        laws.reads(lambda: report.write_report(RunFolder(bad)))
        if (bad / "report.html").exists():
            page = Tags((bad / "report.html").read_text(encoding="utf-8"))
            assert page.names <= PAGE.names | {"img", "p", "figure"} and "script" not in page.names, page.names
            assert all(lead.startswith("data:image/") for lead in page.leads), page.leads
            assert page.others <= PAGE.others | {"alt", "style"}, page.others
            assert "root:" not in (bad / "report.html").read_text(encoding="utf-8")


KINDS = {
    "command lines": (command_lines(), run_command),
    "config values": (CONFIGS, check_config),
    "pictures": (damaged(PICTURES), check_picture),
    "npz files": (NPZ, check_npz),
    "IDX files": (IDX, check_idx),
    "zip archives": (archives(), check_archive),
    "run folders": (damage(), check_run),
}


def attempt(kind, case, box):
    """One case of a kind, by the laws."""
    with laws.writing_only(box.root, box.cache):
        KINDS[kind][1](case, box)


def without_training(patch):
    """Replace, by a pytest.MonkeyPatch, what trains, builds, measures or starts other programs."""
    tiny = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])

    def settled(known, asked, options=None):
        config, options = prepare.settle(known, asked, options or {})
        flags(changed(config)), flags(options, "model.")
        RunFolder.check(config.output_dir)
        if (config.dataset or config.data_dir) and not config.download:
            known.data(config)
        if asked.weights and asked.weights != "imagenet":
            prepare.load_weights(known, asked.weights, tiny)

    load = recipe.load_recipe

    def loaded(name):
        return load(name) if recipe.find_card(name).trains else SimpleNamespace(run=lambda *_, **__: None)

    patch.setattr(runner, "train", settled)
    patch.setattr(tune, "tune", settled)
    patch.setattr(prepare, "build", lambda *_: tiny)
    patch.setattr("keraskit.results.architecture.draw", lambda _, path: Path(path).write_text("graph"))
    patch.setattr(campaign, "measure", lambda *_: None)
    patch.setattr(doctor, "examine", lambda *_: None)
    patch.setattr(cli, "load_recipe", loaded)
    for module in (cli.startup, commands):
        patch.setattr(module, "wait_for_tensorflow", lambda: None)
