"""Help pages: complete, in sections, no name broken at any width, defaults as the recipes have them; and completion."""

import os
import re
import subprocess
import sys

import pytest

import keraskit
from keraskit.cli import app
from keraskit.config import RunConfig
from keraskit.recipe import BEYOND, Recipe
from keraskit.registry import recipes_available

PAGES = ["run cnn", "run cats_dogs_finetune", "run classify", "show vgg16", "autotune mlp", "predict", "augment", ""]


@pytest.fixture
def page(capsys, monkeypatch):
    """Print a page as if into a pipe, at a width, and return its lines."""

    def lines(words, columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as end:
            app.command_line(words.split())
        assert end.value.code == 0
        return capsys.readouterr().out.splitlines()

    return lines


def sections(lines):
    """The flags' first names with their texts, by section."""
    found, section, flag = {}, None, None
    for line in lines:
        if title := re.match(r"╭─ (.*?) ─", line):
            section = found.setdefault(title[1], {})
        elif match := re.match(r"│ (\S+)(.*?) *│", line):
            flag = match[1]
            section[flag] = match[2]
        elif line.startswith("│"):
            section[flag] += f" {line.strip('│ ')}"
    return found


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("words", PAGES)
def test_a_page_fits_and_breaks_no_name(page, words, columns):
    lines = page(f"{words} --help", columns)
    as_written = [line for line in lines if re.match(r"    \S", line)]
    assert max(len(line) for line in lines if line not in as_written) <= columns
    assert all(line == line.rstrip() for line in lines)
    found = app._app(words.split())
    for word in words.split():
        found = found[word]
    if found.default_command:
        arguments = [a for a in found.assemble_argument_collection() if a.show and not a.children]
        names = {
            name
            for argument in arguments
            for name in argument.names
            if ".no-" not in name and not name.startswith("--no-")
        }
        assert names and {name for name in names if name.startswith("-")} <= set(" ".join(lines).split())


@pytest.mark.parametrize("name", recipes_available())
def test_a_recipe_has_its_own_commands_and_defaults(page, name):
    lines, recipe = page(f"run {name} --help", 120), keraskit.load_recipe(name)
    commands = [line for line in recipes_available()[name].doc.splitlines() if line.startswith("    ")]
    assert commands and set(commands) <= set(lines)
    if not isinstance(recipe, Recipe):
        return
    found = sections(lines)
    assert list(found) == ["What to train on", "Training", "Model", "Augmentation", "Hardware"]
    assert "[default: None]" not in " ".join(lines)
    flags = {flag: text for section in found.values() for flag, text in section.items()}
    wanted = {"--epochs": recipe.epochs, "--batch-size": recipe.batch_size, "--seed": 0}
    wanted |= {f"--augment.{k.replace('_', '-')}": v for k, v in recipe.augment.given().items()}
    wanted |= {"--weights": recipe.pretrained.weights} if recipe.pretrained and recipe.pretrained.weights else {}
    for flag, value in wanted.items():
        shown = value[0] if isinstance(value, tuple) else value
        assert f"[default: {shown}]" in flags[flag], flag
    knobs = {f"--{name.replace('_', '-')}" for name in RunConfig.model_fields} - {"--augment"}
    assert knobs <= set(flags)


def test_sections_hold_what_they_are_named_for(page):
    found = sections(page("run cnn --help", 80))
    assert {"--data-dir", "--dataset", "--classes", "--limit"} <= set(found["What to train on"])
    assert {"--epochs", "--learning-rate", "--quick"} <= set(found["Training"])
    assert {"--device", "--precision", "--threads"} <= set(found["Hardware"])
    assert set(found["Model"]) == {"--filters", "--kernel-size", "--as-printed"}
    assert "--classes" in found["What to train on"], "as many classes as the data has; the flag names their file"
    assert all(flag.startswith("--augment.") for flag in found["Augmentation"])
    assert found["Model"]["--filters"].endswith("[default: 128 64]")


def test_both_forms_take_the_same_flags(page, command):
    other = command("--help", module="keraskit.recipes.mlp", COLUMNS="80").stdout.splitlines()
    ours = page("run mlp --help", 80)
    assert ours[1:] == other[1:] and "python -m keraskit.recipes.mlp" in other[0]


@pytest.mark.parametrize("columns", [80, 160])
def test_list_fits_and_holds_every_recipe(page, columns):
    lines = page("list", columns)
    assert max(map(len, lines)) <= columns
    cards = recipes_available()
    assert len(lines) == 1 + len(cards) * (2 if columns == 80 else 1)
    for card in cards.values():
        words = next(line for line in lines if line.startswith(f"{card.name} ")).split()
        figures = [str(value) for value in card.declared.get("expected", {}).values()]
        assert {card.parameters, *figures} - {""} <= {word.strip(",") for word in words}
        assert (card.declared.get("section") or BEYOND).split()[0] in words
        assert any(card.summary in line for line in lines)


@pytest.mark.skipif(sys.platform == "win32", reason="asks bash")
def test_bash_completes_commands_recipes_and_flags(command, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    done = command("--install-completion", "--shell", "bash", HOME=str(home))
    assert done.returncode == 0, done.stderr
    script = """
. ~/.bashrc
ask() { COMP_WORDS=(keraskit "$@"); COMP_CWORD=$#; COMPREPLY=(); _keraskit; echo "${COMPREPLY[@]}"; }
ask ver; ask run lst; ask run cnn --kern; ask run mlp --precision bf; ask predict --she
"""
    environment = {**os.environ, "HOME": str(home)}
    said = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=30)
    assert said.stdout.splitlines() == ["verify", "lstm", "--kernel-size", "bfloat16", "--sheet"], said.stderr
