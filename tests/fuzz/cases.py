"""What is fuzzed: for each kind of input a strategy that makes cases, and what is done with a case."""

from pathlib import Path
from types import SimpleNamespace

import keras
import laws
from files import (
    ARCHIVES,
    IDX,
    NPZ,
    PICTURES,
    WEIGHTS,
    check_archive,
    check_idx,
    check_npz,
    check_picture,
    check_weights,
)
from hypothesis import strategies as st
from made import NUMBER, TEXT, THERE, VALUE, damaged
from run_files import check_run, damage

import keraskit
from keraskit import augment, files, registry
from keraskit.cli import app, commands, doctor, run_commands
from keraskit.config import RunConfig, flags
from keraskit.distributed import launch
from keraskit.options import options_of
from keraskit.results.run_folder import RunFolder
from keraskit.training import autotune, runner, setup
from keraskit.training.settings import settle

# Command lines

VERBS = (
    "run",
    "show",
    "autotune",
    "list",
    "doctor",
    "new",
    "launch",
    "augment",
    "resume",
    "predict",
    "compare",
    "runs",
    "verify",
    "explain",
    "demo",
    "export",
    "rum",
    "",
)
GOOD = (
    ("predict", "run", "digit.png", "pets"),
    ("compare", "run", "other"),
    ("explain", "run", "digit.png"),
    ("demo", "run"),
    ("runs", "."),
    ("verify", "run"),
    ("augment", "--preview", "digit.png"),
    ("run", "mlp", "--quick", "--dataset", "own.npz"),
    ("run", "cats_dogs", "--quick", "--data-dir", "pets"),
    ("run", "mlp", "--quick", "--weights", "run"),
    ("run", "cnn", "--quick", "--augment.rotation-range", "9"),
    ("run", "classify", "digit.png"),
    ("show", "mlp", "--hidden", "8"),
    ("autotune", "mlp"),
    ("run", "./mine.py", "--quick", "--hidden", "8", "4"),
    ("new", "own", "--from", "cnn"),
    ("launch", "--workers", "2", "--", "run", "mlp"),
)
RECIPES = (
    *registry.recipes_available(),
    "mpl",
    "",
    "./mine.py",
    "pets/cat/0.png",
    "nowhere.py",
    "./pipe",
    "run/run.json",
)
KNOB_FLAGS = tuple(f"--{f.replace('_', '-')}" for f in RunConfig.model_fields if f != "augment")
AUGMENT_FLAGS = tuple(f.replace("_", "-") for f in augment.Augmentation.model_fields)
MLP = registry.find_card("mlp")
OPTIONS = tuple(n for name in ("mlp", "cats_dogs") for n in options_of(registry.find_card(name).functions).model_fields)
RUN_FLAGS = (
    *KNOB_FLAGS,
    *(f"--augment.{f}" for f in AUGMENT_FLAGS),
    *(f"--{name.replace('_', '-')}" for name in OPTIONS),
    *("--hidden", "--hidden", "--dataset", "--data-dir"),
)
OWN_FLAGS = {
    "run": (*RUN_FLAGS, "--top", "--crop", "--alpha", "--evaluate"),
    "autotune": RUN_FLAGS,
    "show": ("--graph", "--hidden", "--hidden", "--as-printed"),
    "new": ("--from",),
    "launch": ("--workers", "--logs", "--"),
    "augment": ("--preview", "--output", "--versions", "--seed", *(f"--{f}" for f in AUGMENT_FLAGS)),
    "predict": ("--top", "--batch-size", "--json", "--csv", "--sheet", "--show", "--evaluate"),
    "compare": ("--output", "--csv", "--html"),
    "runs": ("--html",),
    "explain": ("--mistakes", "--layer", "--output"),
    "demo": ("--output",),
    "export": ("--format", "--no-raw-input", "--int8", "--limit", "--output-dir"),
    "data": ("--from", "--to", "--per-class"),
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
    words += (
        [draw(st.sampled_from(RECIPES))] if words[-1] in ("run", "show", "autotune") and draw(st.booleans()) else []
    )
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.integers(0, 3)):
            words.append(draw(st.sampled_from(OWN_FLAGS.get(words[0], FLAGS) if draw(st.integers(0, 5)) else FLAGS)))
        words.append(draw(WORD))
    return words


def run_command(words, box):
    """The real command line, with what trains, downloads or starts processes left out."""
    laws.command(words)


# Knobs given from Python

NAMES = TEXT.filter(lambda name: name != "recipe")
KNOBS = st.dictionaries(st.one_of(st.sampled_from(list(RunConfig.model_fields)), NAMES), VALUE, max_size=4)
DRAWN = st.dictionaries(
    st.one_of(st.sampled_from(list(augment.Augmentation.model_fields)), TEXT),
    st.one_of(VALUE, st.lists(NUMBER, max_size=3)),
    max_size=3,
)
OWN = st.dictionaries(
    st.sampled_from(OPTIONS), st.one_of(VALUE, st.lists(st.one_of(NUMBER, TEXT), max_size=3)), max_size=2
)
CONFIGS = st.builds(
    lambda knobs, drawn, own: {**knobs, **own, **({"augment": drawn} if drawn else {})}, KNOBS, DRAWN, OWN
)


def check_config(knobs, box):
    """Knobs are refused, or give flags that a shell takes as so many words."""

    def call():
        keraskit.run("no such recipe", **knobs)

    laws.reads(call)
    own = {name: value for name, value in knobs.items() if name not in RunConfig.model_fields}
    config = laws.reads(lambda: RunConfig(**{name: value for name, value in knobs.items() if name not in own}))
    if config is not None:
        assert "--" in flags(config.given()) or config == RunConfig()
    for recipe in ("mlp", "cats_dogs"):
        settings = laws.reads(lambda: settle(keraskit.load_recipe(recipe), RunConfig(), own))  # noqa: B023
        if settings is not None:
            assert ("--" in flags(settings.options)) == bool(settings.options)


KINDS = {
    "command lines": (command_lines(), run_command),
    "config values": (CONFIGS, check_config),
    "pictures": (damaged(PICTURES), check_picture),
    "npz files": (NPZ, check_npz),
    "IDX files": (IDX, check_idx),
    "zip archives": (ARCHIVES, check_archive),
    "weight files": (WEIGHTS, check_weights),
    "run folders": (damage(), check_run),
}


def attempt(kind, case, box):
    """One case of a kind, by the laws."""
    with laws.writing_only(box.root, box.cache):
        KINDS[kind][1](case, box)


def without_training(patch):
    """Replace, by a pytest.MonkeyPatch, what trains, builds, measures or starts other programs."""
    tiny = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])

    def settled(known, asked, options=None, unfinished=None):
        settings = settle(known, asked, options or {}, unfinished.chosen if unfinished else None)
        flags(settings.options)
        if unfinished and (start := unfinished.checkpoint()):
            start.check(settings.epochs, 4)
        files.check_folder(settings.output_dir)
        own = settings.options
        if (own.get("dataset") or own.get("data_dir")) and not own.get("download"):
            runner.load(known, settings)
        if asked.weights and asked.weights != "imagenet":
            setup.load_weights(known, asked.weights, tiny)

    load = registry.Card.load

    def loaded(card):
        return load(card) if card.trains else SimpleNamespace(run=lambda *_, **__: None)

    patch.setattr(runner, "train", settled)
    patch.setattr(autotune, "autotune", settled)
    patch.setattr(setup, "build", lambda *_: tiny)
    patch.setattr("keraskit.models.graph.draw", lambda _, path: Path(path).write_text("graph"))
    patch.setattr(launch, "launch", lambda *_: None)
    patch.setattr("keraskit.training.verify.verify", lambda path, _: RunFolder.newest(path))
    patch.setattr(doctor, "examine", lambda *_: None)
    patch.setattr(registry.Card, "load", loaded)
    for module in (app.startup, commands, run_commands):
        patch.setattr(module, "wait_for_tensorflow", lambda: None)
