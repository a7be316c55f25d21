"""What is fuzzed: for each kind of input a strategy that makes cases, and what is done with a case."""

from pathlib import Path
from types import SimpleNamespace

import keras
import laws
from files import ARCHIVES, IDX, NPZ, PICTURES, check_archive, check_idx, check_npz, check_picture
from hypothesis import strategies as st
from made import NUMBER, TEXT, THERE, VALUE, damaged
from run_files import check_run, damage

import keraskit
from keraskit import augment, doctor, recipe
from keraskit.cli import commands
from keraskit.config import RunConfig, changed, flags
from keraskit.results.run_folder import RunFolder
from keraskit.training import campaign, prepare, runner, tune

# Command lines

VERBS = (
    "run",
    "show",
    "autotune",
    "list",
    "doctor",
    "results",
    "augment",
    "resume",
    "predict",
    "compare",
    "data",
    "rum",
    "",
)
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
    ("show", "mlp", "--hidden", "8"),
    ("autotune", "mlp"),
)
RECIPES = (*recipe.recipes_available(), "mpl", "")
KNOB_FLAGS = tuple(f"--{f.replace('_', '-')}" for f in RunConfig.__dataclass_fields__ if f != "augment")
AUGMENT_FLAGS = tuple(f.replace("_", "-") for f in augment.Augmentation.__dataclass_fields__)
RUN_FLAGS = (*KNOB_FLAGS, *(f"--augment.{f}" for f in AUGMENT_FLAGS), "--hidden", "--hidden", "--classes")
OWN_FLAGS = {
    "run": (*RUN_FLAGS, "--top", "--crop", "--alpha", "--evaluate"),
    "autotune": RUN_FLAGS,
    "show": ("--graph", "--hidden", "--hidden", "--as-printed"),
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
    words += (
        [draw(st.sampled_from(RECIPES))] if words[-1] in ("run", "show", "autotune") and draw(st.booleans()) else []
    )
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


KINDS = {
    "command lines": (command_lines(), run_command),
    "config values": (CONFIGS, check_config),
    "pictures": (damaged(PICTURES), check_picture),
    "npz files": (NPZ, check_npz),
    "IDX files": (IDX, check_idx),
    "zip archives": (ARCHIVES, check_archive),
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
        config, options = prepare.settle(known, asked, options or {})
        flags(changed(config)), flags(options, "model.")
        if unfinished:
            unfinished.settled(config)
        RunFolder.check(config.output_dir)
        if (config.dataset or config.data_dir) and not config.download:
            known.data(config)
        if asked.weights and asked.weights != "imagenet":
            prepare.load_weights(known, asked.weights, tiny)

    load = recipe.load_recipe

    def loaded(name):
        return load(name) if recipe.find_card(name).trains else SimpleNamespace(run=lambda *_, **__: None)

    patch.setattr(runner, "train", settled)
    patch.setattr(tune, "autotune", settled)
    patch.setattr(prepare, "build", lambda *_: tiny)
    patch.setattr("keraskit.models.graph.draw", lambda _, path: Path(path).write_text("graph"))
    patch.setattr(campaign, "measure", lambda *_: None)
    patch.setattr(doctor, "examine", lambda *_: None)
    patch.setattr(cli, "load_recipe", loaded)
    for module in (cli.startup, commands):
        patch.setattr(module, "wait_for_tensorflow", lambda: None)
