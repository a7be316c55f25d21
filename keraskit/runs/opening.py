"""Opens a run's model, with what a recipe of the user's own adds to Keras where the user names its file."""

from __future__ import annotations

import shlex
from pathlib import Path

import keras

from keraskit.errors import UserError, printable, sentence
from keraskit.models import applications, weights
from keraskit.options import call
from keraskit.registry import find_card, recipes_available
from keraskit.runs import manifest
from keraskit.runs.folder import MODEL, RunFolder


def load_model(folder: RunFolder, recipe: Path | None = None) -> keras.Model:
    """Load a run's best model.

    Args:
        folder: the run's.
        recipe: a recipe file that the user trusts, imported first: its classes and functions are known to Keras then.
            What Keras loads not even so is built by this recipe, and filled with the weights.

    Raises:
        UserError: there is no model, the file is not what a run wrote, or the recipe's file is to be named.
    """
    try:
        path = folder.file(MODEL)
    except FileNotFoundError as error:
        raise UserError(f"{folder.path} has no {MODEL}.", "A run writes it after its first epoch.") from error
    own = find_card(str(recipe)).load() if recipe else None
    try:
        with keras.saving.custom_object_scope(weights.own_objects(own.build) if own else {}):
            return weights.load(path)
    except Exception as error:  # a damaged or hostile file makes Keras raise anything
        problem = f"{path} cannot be loaded: {type(error).__name__}: {sentence(weights.reason(error))}"
        facts = manifest.read(folder) if (folder.path / "run.json").exists() else {}
        source = facts.get("source")
        if not own and (source or facts.get("recipe", "") not in recipes_available()):
            advice = "If the file of its recipe is your own, name it."
            raise UserError(problem, advice, f"--recipe {shlex.quote(source or 'FILE.py')}") from error
        if not own:
            raise UserError(problem) from error
        known = {name: value for name, value in (facts.get("config") or {}).items() if name in ("batch_size", "seed")}
        model: keras.Model = call(own.build, known | (facts.get("options") or {}), steps=1, weights=None)
        applications.load_file(model, path)
        print(f"NOTE           {printable(problem)} So {own.name} built it, and was given its weights.", flush=True)
        return model
