"""What a user types: what is put right, what is refused, and what a refusal says to type instead."""

import shlex

import pytest

from keraskit.cli import app
from keraskit.cli.words import ordered
from keraskit.registry import recipes_available
from keraskit.suggest import nearest


def command(words, capsys):
    """Exit code and stderr of a command line, in this process."""
    with pytest.raises(SystemExit) as end:
        app.command_line(words)
    return end.value.code, capsys.readouterr().err


REFUSED = [
    ("run mpl", "There is no recipe 'mpl'. Did you mean mlp?"),
    ("run cmm", "There is no recipe 'cmm'. Did you mean cnn?"),
    ("run --quick cmm", "There is no recipe 'cmm'. Did you mean cnn?"),
    ("show nothing", "There is no recipe 'nothing'. `keraskit list`"),
    ("run finetune", "Did you mean cats_dogs_finetune?"),
    ("rum", "Did you mean `keraskit run`?"),
    ("cnn", "'cnn' is a recipe. Say `keraskit run cnn`."),
    ("CNN --epochs 3", "Say `keraskit run cnn --epochs 3`."),
    ("cmm", "Did you mean `keraskit run cnn`?"),
    ("train cnn", "Did you mean `keraskit run cnn`?"),
    ("help", "Did you mean `keraskit --help`?"),
    ("foo", "has no command 'foo'. It has "),
    ("run", "`keraskit run NAME`. NAME is one of "),
    ("show", "`keraskit show NAME`. NAME is one of "),
    ("run --quick", "`keraskit run NAME --quick`. NAME is one of "),
    ("run --output-dir mlp cnn", "needs a recipe's name first"),
    ("autotune classify", "classify trains no model"),
    ("run mlp --epochs -3", "--epochs -3 makes no sense"),
    ("run mlp --epochs 3.5", "--epochs 3.5 makes no sense: expected a whole number."),
    ("run mlp --epochs many", "--epochs many makes no sense: expected a whole number."),
    ("run mlp --hidden 64 3.5", "--hidden 3.5 makes no sense: expected a whole number."),
    ("run lstm --timesteps 28.5", "--timesteps 28.5 makes no sense"),
    ("run augmentation --digits 1.5", "--digits 1.5 makes no sense"),
    ("predict runs a.png --top 1.5", "--top 1.5 makes no sense"),
    ("run CNN --epochs 0", "--epochs 0 makes no sense"),
    ("run --seed 1 --epochs 0 cnn", "--epochs 0 makes no sense"),
    ("run mlp --epochs", "--epochs needs a value."),
    ("run mlp --epochs 1e3", "--epochs 1e3 makes no sense: expected a whole number."),
    ("run mlp --hidden", "--hidden needs a value."),
    ("run mlp --hidden --quick", "--hidden needs a value."),
    ("run cats_dogs_augmented --augment.zoom-range", "--augment.zoom-range needs a value."),
    ("run mlp --augment.cval inf", "--augment.cval inf makes no sense"),
    ("run cnn --filters 3", "--filters needs 2 values."),
    ("run cats_dogs --quick --data-dir=", "--data-dir '' makes no sense: expected a value."),
    ("run mlp --workers=", "--workers '' makes no sense: expected a value."),
    ("run mlp --augment 3", "--augment alone is no flag. Say which: --augment.rotation-range"),
    ("run mlp --model 3", "`keraskit run mlp` has no flag --model."),
    (
        "run mlp --augment.rotation-range 400",
        "--augment.rotation-range 400 makes no sense: input should be less than or equal to 360.",
    ),
    ("run mlp --learning-rate 0", "--learning-rate 0 makes no sense"),
    ("run mlp --learning-rate nan", "--learning-rate nan makes no sense"),
    ("run mlp --batch-size 1000000", "--batch-size 1000000 makes no sense"),
    ("run mlp --save-every 0", "--save-every 0 makes no sense"),
    ("run mlp --seed -1", "--seed -1"),
    ("run mlp --device tpu", "expected auto, cpu, gpu, or gpu:1"),
    ("run mlp --hiden 10", "Did you mean --hidden?"),
    ("run mlp extra", "`keraskit run mlp` takes no word 'extra'."),
    *(
        (f"run mlp {flag} ''", f"{flag} '' makes no sense: expected a value.")
        for flag in ("--workers", "--output-dir", "--data-dir", "--dataset", "--weights", "--callbacks")
    ),
    ("run mlp --hidden 8 ''", "--hidden 8 '' makes no sense"),
    ("predict '' a.png", "--run '' makes no sense"),
    ("augment --preview ''", "--preview '' makes no sense"),
    ("augment --preview a.png --seed 99999999999999999999999", "input should be less than or equal to 2147483647."),
    ("run augmentation --seed -1", "--seed -1 makes no sense"),
    ("run augmentation --digits 0", "--digits 0 makes no sense"),
    ("run vgg16 --width 0", "--width 0 makes no sense"),
    ("run cats_dogs_features --alpha -1", "--alpha -1 makes no sense"),
    ("run lstm --timesteps 0", "lstm cannot be built with --timesteps 0: "),
    ("show lstm --timesteps 0", "lstm cannot be built with --timesteps 0: "),
    ("show mlp --hidden 0", "mlp cannot be built with --hidden 0: "),
    ("resume", "`keraskit resume` needs RUN."),
    ("augment", "`keraskit augment` needs --preview."),
    ("launch -- run mlp --lr 3", "Did you mean --learning-rate?"),
    ("launch --workers 2 -- run cnn --epoch 3", "Did you mean --epochs?"),
    ("resume nowhere", "There is no run folder nowhere"),
]
FLAGS = {
    "--lr": "--learning-rate",
    "--learnig_rate": "--learning-rate",
    "--batch": "--batch-size",
    "--batchsize": "--batch-size",
    "--epoch": "--epochs",
    "--num-epochs": "--epochs",
    "--gpu": "--device gpu",
    "--data": "--dataset or --data-dir",
    "--output": "--output-dir",
    "--rotation": "--augment.rotation-range",
    "--flip": "--augment.horizontal-flip or --augment.vertical-flip",
    "--precison": "--precision",
    "--kernel": "--kernel-size",
}


@pytest.mark.parametrize(("words", "says"), REFUSED, ids=lambda text: text[:40])
def test_refusals_are_one_line_and_say_what_to_type(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    code, err = command(shlex.split(words), capsys)
    assert code == 2 and err.startswith("keraskit: ") and err.count("\n") == 1 and says in err, err
    assert not list(tmp_path.iterdir())


def test_too_little_memory_is_said_in_one_line(monkeypatch, capsys):
    def examine(_):
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr("keraskit.cli.doctor.examine", examine)
    code, err = command(["doctor"], capsys)
    assert code == 1 and err.startswith("keraskit: There is not enough memory: Unable to allocate 9 GiB. Free some")


@pytest.mark.parametrize("flag", FLAGS)
def test_flags_that_people_type_lead_to_ours(capsys, flag):
    assert f"Did you mean {FLAGS[flag]}?" in command(["run", "cnn", flag, "3"], capsys)[1]


@pytest.mark.parametrize("flag", ["--momentum", "--optimizer", "--verbose", "--xx", "--early-stopping"])
def test_what_is_like_nothing_suggests_nothing(capsys, flag):
    assert f"has no flag {flag}. `keraskit run cnn --help`" in command(["run", "cnn", flag], capsys)[1]


def test_lists_of_what_there_is_are_whole(capsys):
    _, err = command(["foo"], capsys)
    verbs = "augment, autotune, compare, demo, doctor, explain, export, launch, list, new, predict, resume, run"
    assert f"It has {verbs}, runs, show, verify.\n" in err
    _, err = command(["run"], capsys)
    assert f"{', '.join(recipes_available())}.\n" in err


def test_a_recipe_is_named_in_any_case_and_after_flags():
    assert ordered(["run", "--quick", "CNN", "--seed", "1"]) == ["run", "cnn", "--quick", "--seed", "1"]
    assert ordered(["show", "Cats-Dogs"]) == ["show", "cats_dogs"]
    for words in (["run", "--help"], ["predict", "CNN"], []):
        assert ordered(words) == words


def test_a_name_is_found_by_its_letters_its_part_or_its_likeness():
    names = ["cats_dogs", "cats_dogs_features", "shared_features", "shared_input", "cnn", "lstm"]
    assert nearest("Cats-Dogs", names) == ["cats_dogs"]
    assert nearest("features", names) == ["cats_dogs_features", "shared_features"]
    assert nearest("ltsm", names) == ["lstm"] and nearest("cnm", names) == ["cnn"]
    assert nearest("xception", names) == nearest("c", names) == nearest("", names) == []
