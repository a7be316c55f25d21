"""What a user types: what is put right, what is refused, and what a refusal says to type instead."""

import shlex

import numpy as np
import own
import pytest
from conftest import command
from PIL import Image

from keraskit import errors
from keraskit.runs import plots

TAKEN = ("mlp", "numpy", "keraskit", "wave")
NUMBER = "makes no sense: input should be a valid integer"
REFUSED = [  # {run} is the tiny run's folder
    ("run mpl", "There is no recipe 'mpl'. Did you mean mlp?"),
    ("run none.csv", "There is no recipe 'none.csv'"),
    ("rum", 'Unknown command "rum". Did you mean "run"?'),
    ("run --quick mlp", '"--quick". Flags go last: `keraskit run mlp --epochs 3`. `keraskit run --help` lists what'),
    ("--epochs 3 run mlp", "Flags go last: `keraskit run mlp --epochs 3`. `keraskit --help` lists what there is."),
    ("run mlp --epochs 3.5", f"--epochs 3.5 {NUMBER}"),
    ("run mlp --hidden 64 3.5", f"--hidden 3.5 {NUMBER}"),
    ("run CNN --epochs 0", "--epochs 0 makes no sense: input should be at least 1."),
    ("run mlp --epochs", "--epochs requires an argument. `keraskit run mlp --help`"),
    ("run mlp --augment.rotation-range 400", "400 makes no sense: input should be at most 360."),
    ("run cnn --filters 3", "--filters requires 2 "),
    ("run mlp --learning-rate nan", "--learning-rate nan makes no sense"),
    ("run mlp --lr 0", "--learning-rate 0 makes no sense: input should be greater than 0."),
    ("run mlp --device tpu", "--device tpu makes no sense: string should match pattern '^(auto|cpu(:0)?|"),
    ("run mlp --epoch 3", "Unknown option: --epoch. Did you mean --epochs? `keraskit run mlp --help`"),
    ("run mlp extra", "['extra']. `keraskit run mlp --help`"),
    *((f"run mlp {flag} ''", f"{flag} '' makes no sense") for flag in ("--output-dir", "--data-dir", "--weights")),
    ("predict runs a.png --top 0", "--top 0 makes no sense"),
    ("augment --preview a.png --seed 99999999999999999999999", "input should be at most 2147483647."),
    ("run lstm --timesteps 0", "lstm cannot be built with --timesteps 0: "),
    ("resume", "--run requires an argument. `keraskit resume --help`"),
    ("resume nowhere", "There is no run folder nowhere"),
    ("new my-model", "'my-model' cannot be a Python module's name."),
    *((f"new {name}", f"{name} is a recipe or module already") for name in TAKEN),
    ("run mlp --output-dir file", "file"),
    ("run lstm --timesteps 100 --quick", "MNIST have the shape (784, 1), the model's input (100, 7)."),
    ("run quickstart --quick --augment.rotation-range 30", "holds no pictures"),
    ("run augmentation --digit 2", "Unknown option"),
    # Files of one's own
    ("run ./gone.py", "./gone.py does not exist"),
    ("run ./unicorns", "./unicorns does not end in .py. Name"),
    ("show ./empty.py", "empty.py makes no `recipe = Recipe(...)`."),
    ("run ./mymodel.py --unit 3", "Did you mean --units?"),
    ("run mymodel", "There is no recipe 'mymodel'. Did you mean ./mymodel.py?"),
    ("run ./mymodel.py --callbacks gone.py:make", "--callbacks gone.py:make names no function."),
    *((f"run ./mymodel.py --callbacks mymodel.py:{name}", f"{name} names no function.") for name in ("other", "UNITS")),
    ("new mymodel", "mymodel.py is there already."),
    ("predict {run}", "PICTURES requires an argument"),
    ("predict {run} nothing*", "does not exist"),
    ("predict . digit.png", "has no run.json"),
    ("predict {run} digit.png --invert maybe", 'Choose from: "auto", "yes", "no"'),
    ("predict {run} none.npy", "none.npy: No such file or directory."),
    ("predict {run} none.npy --evaluate", "none.npy holds arrays. Name it alone"),
    ("predict {run} . --evaluate", "names no class of this run"),
    ("explain {run}", "No pictures are named"),
    ("explain {run} gone.png", "gone.png does not exist"),
    ("explain {run} note.png", "note.png: is no picture"),
    ("export {run} --format torch", "torch"),
    ("demo {run} --output page.png", "page.png"),
    (f"compare {{run}} {{run}} --output {'n' * 300}.png", "File name too long"),
    ("show cnn --graph graph.xyz", 'graph.xyz cannot be drawn: Format: "xyz" not recognized.'),
    ("augment --preview nowhere", "does not exist"),
    ("augment --preview note.png", "is no picture (JPEG, PNG, BMP, GIF, WEBP, TIFF)"),
    ("augment --preview digit.png --zoom-range 2", "expected two factors from 0 up"),
    ("classify nowhere.jpg", "does not exist"),
    ("run classify nowhere.jpg --weights none --alpha 0.25", "nowhere.jpg: No such file or directory."),
    ("classify digit.png --model vgg61", "no application"),
    ("classify digit.png --model all --weights x.h5", "take one network"),
    ("classify digit.png --weights weights.h5 --alpha 0.25", "does not fit mobilenet_0.25_224"),
    ("classify digit.png --csv weights.h5/a.csv", "is a file"),
    ("classify digit.png --model vgg16 --size 20 --weights none", "vgg16 cannot be built"),
    ("classify digit.png --evaluate", "digit.png is no folder"),
    ("launch --workers 2 -- list", "launch starts a training"),
]


@pytest.mark.parametrize(("words", "says"), REFUSED, ids=lambda text: text[:40])
def test_refusals_are_one_line_say_what_to_type_and_leave_nothing(here, tiny_run, words, says):
    for name, content in {"mymodel.py": own.SOURCE, "empty.py": '"""Nothing."""\n', "file": "",
                          "note.png": "no picture", "weights.h5": "no weights"}.items():  # fmt: skip
        (here / name).write_text(content)
    Image.fromarray(np.zeros((28, 28), np.uint8)).save("digit.png")
    (here / "unicorns" / "unicorn").mkdir(parents=True)
    before = sorted(here.rglob("*"))
    code, _, err = command(*shlex.split(words.replace("{run}", str(tiny_run.folder))))
    assert code == 2 and err.startswith("keraskit: ") and err.count("\n") == 1 and says in err, err
    assert sorted(here.rglob("*")) == before


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("KERASKIT_DEBUG", "1")
    assert "Traceback" in command("run", "mpl").err


def test_a_photograph_named_by_the_shells_star_is_no_sheet(tiny_run, here):
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((28, 28), np.uint8)).save(name)
    before = (here / "a.png").read_bytes()
    code, _, err = command("predict", tiny_run.folder, "--sheet", "a.png", "b.png")
    assert code == 2 and "a.png is there already, and was not made by keraskit" in err
    assert (here / "a.png").read_bytes() == before
    plots.save(plots.sheet(plots.Sheet(np.zeros((1, 8, 8), np.uint8), ["x"])), here / "ours.png")
    assert command("predict", tiny_run.folder, "--sheet", "ours.png", "b.png").code == 0


def test_a_duration_is_readable():
    readable = {0.4: "0 s", 36.2: "36 s", 59.7: "1 min 0 s", 125: "2 min 5 s", 7_500: "2 h 5 min"}
    assert {seconds: errors.duration(seconds) for seconds in readable} == readable


def test_no_number_of_a_table_is_cut_however_narrow_the_terminal_is(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    errors.print_table(["run", *"abcdef"], [["a long name of a run", *["8.17500e-05"] * 6]], right="abcdef")
    assert capsys.readouterr().out.count("8.17500e-05") == 6
