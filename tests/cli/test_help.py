"""Help pages: complete, in sections, no name broken at any width; the list of recipes; and completion."""

import os
import re
import subprocess

import pytest
from conftest import command

import keraskit
from keraskit.config import RunConfig
from keraskit.recipe import Recipe
from keraskit.registry import recipes_available


@pytest.fixture
def page(monkeypatch):
    def lines(words, columns=80):
        monkeypatch.setenv("COLUMNS", str(columns))
        code, out, _ = command(*words.split())
        assert code == 0
        return out.splitlines()

    return lines


def sections(lines):
    found, section = {}, None
    for line in lines:
        if title := re.match(r"╭─ (.*?) ─", line):
            section = found.setdefault(title[1], [])
        elif section is not None:
            section += line.strip("│ ").split()
    return found


@pytest.mark.parametrize("name", recipes_available())
def test_a_recipe_has_its_own_commands_and_defaults(page, name):
    text, recipe = " ".join(" ".join(page(f"run {name} --help")).split()), keraskit.load_recipe(name)
    commands = [line for line in recipes_available()[name].doc.splitlines() if line.startswith("    ")]
    assert commands and all(" ".join(line.split()) in text for line in commands)
    if isinstance(recipe, Recipe):
        told = text.partition("Unless told otherwise:")[2].partition("╭")[0]
        assert f"--epochs {recipe.epochs} --batch-size {recipe.batch_size}" in told
        assert all(f"--augment.{name.replace('_', '-')}" in told for name in recipe.augment.given())


def test_sections_hold_what_they_are_named_for(page):
    found = sections(page("run cnn --help"))
    assert list(found) == ["What to train on", "Training", "Model", "Augmentation", "Hardware"]
    assert {"--data-dir", "--dataset", "--limit"} <= set(found["What to train on"])
    assert {"--epochs", "--learning-rate", "--quick"} <= set(found["Training"])
    assert {"--device", "--precision", "--threads"} <= set(found["Hardware"])
    assert {"--filters", "--kernel-size", "--as-printed"} <= set(found["Model"])
    assert "--augment.rotation-range" in found["Augmentation"]
    knobs = {f"--{name.replace('_', '-')}" for name in RunConfig.model_fields} - {"--augment"}
    assert knobs <= {word for section in found.values() for word in section}


def test_both_forms_take_the_same_flags(page, preforked, tmp_path):
    environment = {**os.environ, "COLUMNS": "80"}
    other = preforked.run("keraskit.recipes.mlp", ["--help"], tmp_path, environment).stdout.splitlines()
    assert sections(page("run mlp --help")) == sections(other) and "python -m keraskit.recipes.mlp" in other[0]


def test_bash_completes_commands_recipes_and_flags(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    assert command("--install-completion", "--shell", "bash").code == 0
    script = """
. ~/.bashrc
ask() { COMP_WORDS=(keraskit "$@"); COMP_CWORD=$#; COMPREPLY=(); _keraskit; echo "${COMPREPLY[@]}"; }
ask ver; ask run lst; ask run cnn --kern; ask run mlp --precision bf; ask predict --she
"""
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=240)
    assert said.stdout.splitlines() == ["verify", "lstm", "--kernel-size", "bfloat16", "--sheet"], said.stderr
