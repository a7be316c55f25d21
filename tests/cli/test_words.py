"""What a user types: what is put right, what is refused, and what a refusal says to type instead."""

import shlex

import pytest
from hostile import command

from keraskit.errors import did_you_mean
from keraskit.registry import recipes_available

REFUSED = [
    ("run mpl", "There is no recipe 'mpl'. Did you mean mlp?"),
    ("show nothing", "There is no recipe 'nothing'. `keraskit list`"),
    ("run finetune", "Did you mean cats_dogs_finetune?"),
    ("rum", 'Unknown command "rum". Did you mean "run"?'),
    ("foo", "`keraskit --help` lists what there is."),
    ("run", "`keraskit run NAME`. NAME is one of "),
    ("show", "`keraskit show NAME`. NAME is one of "),
    ("run --quick mlp", "`keraskit run NAME`. NAME is one of "),
    ("autotune classify", "classify trains no model"),
    ("run mlp --epochs -3", "--epochs -3 makes no sense"),
    ("run mlp --epochs 3.5", "--epochs 3.5 makes no sense: input should be a valid integer"),
    ("run mlp --epochs many", "--epochs many makes no sense: input should be a valid integer"),
    ("run mlp --hidden 64 3.5", "--hidden 3.5 makes no sense: input should be a valid integer"),
    ("run lstm --timesteps 28.5", "--timesteps 28.5 makes no sense"),
    ("predict runs a.png --top 1.5", "--top: invalid literal"),
    ("run CNN --epochs 0", "--epochs 0 makes no sense"),
    ("run mlp --epochs", "--epochs requires an argument. `keraskit run mlp --help`"),
    ("run mlp --epochs 1e3", "--epochs 1e3 makes no sense: input should be a valid integer"),
    ("run mlp --hidden", "--hidden requires "),
    ("run mlp --hidden --quick", "--hidden requires at least 1 element."),
    ("run cats_dogs_augmented --augment.zoom-range", "--augment.zoom-range requires "),
    ("run mlp --augment.cval inf", "--augment.cval inf makes no sense"),
    ("run cnn --filters 3", "--filters requires 2 "),
    ("run cats_dogs --quick --data-dir=", "--data-dir '' makes no sense: expected a value."),
    ("run mlp --workers=", "--workers '' makes no sense: expected a value."),
    ("run mlp --augment 3", "--augment 3 makes no sense"),
    ("run mlp --model 3", "Unknown option: --model. `keraskit run mlp --help`"),
    (
        "run mlp --augment.rotation-range 400",
        "--augment.rotation-range 400 makes no sense: input should be less than or equal to 360.",
    ),
    ("run mlp --learning-rate nan", "--learning-rate nan makes no sense"),
    ("run mlp --batch-size 1000000", "--batch-size 1000000 makes no sense"),
    ("run mlp --save-every 0", "--save-every 0 makes no sense"),
    ("run mlp --seed -1", "--seed -1"),
    ("run mlp --device tpu", "expected auto, cpu, gpu, or gpu:1"),
    ("run mlp --hiden 10", "Did you mean --hidden?"),
    ("run mlp extra", "['extra']. `keraskit run mlp --help`"),
    *(
        (f"run mlp {flag} ''", f"{flag} '' makes no sense: expected a value.")
        for flag in ("--workers", "--output-dir", "--data-dir", "--dataset", "--weights", "--callbacks")
    ),
    ("run mlp --hidden 8 ''", "--hidden '' makes no sense"),
    ("augment --preview a.png --seed 99999999999999999999999", "input should be less than or equal to 2147483647."),
    ("run lstm --timesteps 0", "lstm cannot be built with --timesteps 0: "),
    ("show lstm --timesteps 0", "lstm cannot be built with --timesteps 0: "),
    ("show mlp --hidden 0", "mlp cannot be built with --hidden 0: "),
    ("resume", "--run requires an argument. `keraskit resume --help`"),
    ("augment", "--preview requires an argument."),
    ("launch -- run mlp --learnin-rate 3", "Did you mean --learning-rate?"),
    ("launch --workers 2 -- run cnn --epoch 3", "Did you mean --epochs?"),
    ("resume nowhere", "There is no run folder nowhere"),
]


@pytest.mark.parametrize(("words", "says"), REFUSED, ids=lambda text: text[:40])
def test_refusals_are_one_line_and_say_what_to_type(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    code, err = command(shlex.split(words), capsys)
    assert code == 2 and err.startswith("keraskit: ") and err.count("\n") == 1 and says in err, err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--optimizer", "--verbose", "--zz"])
def test_what_is_like_nothing_suggests_nothing(capsys, flag):
    assert f"Unknown option: {flag}. `keraskit run cnn --help`" in command(["run", "cnn", flag], capsys)[1]


@pytest.mark.parametrize("flag", ["--lr", "--learning-rate"])
def test_the_learning_rate_has_a_short_name(capsys, flag):
    assert "--learning-rate x makes no sense" in command(["run", "cnn", flag, "x"], capsys)[1]


def test_a_list_of_recipes_is_whole(capsys):
    assert f"{', '.join(recipes_available())}.\n" in command(["run"], capsys)[1]


def test_a_name_is_found_by_its_likeness():
    names = ["cats_dogs", "cats_dogs_features", "shared_features", "shared_input", "cnn", "lstm"]
    meant = {"cats_dog": "cats_dogs", "ltsm": "lstm", "cnm": "cnn"}
    assert {word: did_you_mean(word, names) for word in meant} == {k: f"Did you mean {v}?" for k, v in meant.items()}
    assert did_you_mean("xception", names) == did_you_mean("c", names) == did_you_mean("", names) == ""
