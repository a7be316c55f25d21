"""What a user types: what is put right, what is refused, and what a refusal says to type instead."""

import shlex

import numpy as np
import pytest
from hostile import command
from PIL import Image

from keraskit import text
from keraskit.runs import plots

NUMBER = "makes no sense: input should be a valid integer"
REFUSED = [
    ("run mpl", "There is no recipe 'mpl'. Did you mean mlp?"),
    ("run finetune", "Did you mean cats_dogs_finetune?"),
    ("show nothing", "There is no recipe 'nothing'. `keraskit list`"),
    ("rum", 'Unknown command "rum". Did you mean "run"?'),
    ("foo", "`keraskit --help` lists what there is."),
    ("run --quick mlp", '"--quick". Flags go last: `keraskit run mlp --epochs 3`. `keraskit run --help` lists what'),
    ("--epochs 3 run mlp", "Flags go last: `keraskit run mlp --epochs 3`. `keraskit --help` lists what there is."),
    ("run mlp --epochs -3", "--epochs -3 makes no sense"),
    ("run mlp --epochs 3.5", f"--epochs 3.5 {NUMBER}"),
    ("run mlp --epochs 1e3", f"--epochs 1e3 {NUMBER}"),
    ("run mlp --hidden 64 3.5", f"--hidden 3.5 {NUMBER}"),
    ("run CNN --epochs 0", "--epochs 0 makes no sense: input should be at least 1."),
    ("run mlp --epochs", "--epochs requires an argument. `keraskit run mlp --help`"),
    ("run mlp --hidden --quick", "--hidden requires at least 1 element."),
    ("run mlp --augment.cval inf", "--augment.cval inf makes no sense"),
    ("run mlp --augment.rotation-range 400", "400 makes no sense: input should be at most 360."),
    ("run mlp --augment 3", "--augment 3 makes no sense"),
    ("run cnn --filters 3", "--filters requires 2 "),
    ("run mlp --learning-rate nan", "--learning-rate nan makes no sense"),
    ("run mlp --lr x", "--learning-rate x makes no sense"),
    ("run mlp --lr 0", "--learning-rate 0 makes no sense: input should be greater than 0."),
    ("run mlp --device tpu", "--device tpu makes no sense: string should match pattern '^(auto|(cpu|gpu)"),
    ("run mlp --epoch 3", "Unknown option: --epoch. Did you mean --epochs? `keraskit run mlp --help`"),
    ("run mlp --optimizer 3", "Unknown option: --optimizer. `keraskit run mlp --help`"),
    ("run mlp extra", "['extra']. `keraskit run mlp --help`"),
    *((f"run mlp {flag} ''", f"{flag} '' makes no sense") for flag in ("--output-dir", "--data-dir", "--weights")),
    ("predict runs a.png --top 1.5", f"--top 1.5 {NUMBER}"),
    ("predict runs a.png --top 0", "--top 0 makes no sense"),
    ("augment --preview a.png --seed 99999999999999999999999", "input should be at most 2147483647."),
    ("run lstm --timesteps 0", "lstm cannot be built with --timesteps 0: "),
    ("show mlp --hidden 0", "mlp cannot be built with --hidden 0: "),
    ("resume", "--run requires an argument. `keraskit resume --help`"),
    ("resume nowhere", "There is no run folder nowhere"),
    *((f"new {name}", f"'{name}' cannot be a Python module's name.") for name in ("my-model", "class", "None")),
    *(
        (f"new {name}", f"{name} is a recipe or module already")
        for name in ("mlp", "numpy", "keras", "keraskit", "wave")
    ),
]


@pytest.mark.parametrize(("words", "says"), REFUSED, ids=lambda text: text[:40])
def test_refusals_are_one_line_and_say_what_to_type(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    code, err = command(shlex.split(words), capsys)
    assert code == 2 and err.startswith("keraskit: ") and err.count("\n") == 1 and says in err, err
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback(capsys, monkeypatch):
    monkeypatch.setenv("KERASKIT_DEBUG", "1")
    assert "Traceback" in command(["run", "mpl"], capsys)[1]


def test_a_refusal_shows_control_characters_as_escapes(capsys):
    code, err = command(["run", "./\x1b]0;title\x07\x9b31m\n\u202e\udcff.py"], capsys)
    assert code == 2 and "\\x1b]0;title\\x07\\x9b31m" in err and err.removesuffix("\n").isprintable()


def test_a_photograph_named_by_the_shells_star_is_no_sheet(tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((28, 28), np.uint8)).save(name)
    before = (tmp_path / "a.png").read_bytes()
    code, err = command(["predict", tiny_run.folder, "--sheet", "a.png", "b.png"], capsys)
    assert code == 2 and "a.png is there already, and was not made by keraskit" in err
    assert (tmp_path / "a.png").read_bytes() == before
    plots.save(plots.sheet(plots.Sheet(np.zeros((1, 8, 8), np.uint8), ["x"])), tmp_path / "ours.png")
    assert command(["predict", tiny_run.folder, "--sheet", "ours.png", "b.png"], capsys)[0] == 0


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (36.2, "36 s"), (59.7, "1 min 0 s"), (125, "2 min 5 s"), (7_500, "2 h 5 min")]
)
def test_a_duration_is_readable(seconds, words):
    assert text.duration(seconds) == words
