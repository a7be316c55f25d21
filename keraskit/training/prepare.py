"""Prepares a run: settles the knobs, builds and compiles the model, fits data and model to each other."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import keras
import numpy as np

from keraskit.config import QUICK_EPOCHS, QUICK_EXAMPLES, RunConfig
from keraskit.datasets.splits import Splits
from keraskit.errors import UserError
from keraskit.recipe import Recipe
from keraskit.training import devices


def settle(recipe: Recipe, asked: RunConfig, options: dict[str, Any]) -> tuple[RunConfig, dict[str, Any]]:
    """The knobs and the builder's arguments; what the user left to the recipe filled in, a quick run bounded."""
    epochs, limit, batch_size = asked.epochs or recipe.epochs, asked.limit, asked.batch_size or recipe.batch_size
    if asked.quick:
        limit = min(limit or QUICK_EXAMPLES, recipe.quick.get("limit", QUICK_EXAMPLES))
        batch_size = asked.batch_size or recipe.quick.get("batch_size", recipe.batch_size)
        epochs = asked.epochs or min(epochs, QUICK_EPOCHS)
        options = {**recipe.quick.get("model", {}), **options}
    return dataclasses.replace(asked, epochs=epochs, limit=limit, batch_size=batch_size), options


def build(recipe: Recipe, options: dict[str, Any]) -> keras.Model:
    """Call the recipe's builder. What Keras refuses becomes one line."""
    try:
        return recipe.build(**options)
    except (ValueError, TypeError) as error:
        first = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{recipe.name} cannot be built with {options}: {first}", f"`keraskit show {recipe.name}` says more."
        ) from error


def build_in(policy: str, recipe: Recipe, options: dict[str, Any], seed: int) -> keras.Model:
    """The same model, the same initial weights, computing in another precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(seed)
    try:
        return build(recipe, options)
    finally:
        keras.config.set_dtype_policy(before)


def compile_both(
    recipe: Recipe, config: RunConfig, choices: devices.Choices, model: keras.Model, trainee: keras.Model, steps: int
) -> float:
    """Compile the model that trains, and the float32 model that is saved, evaluated and handed back.

    Returns the learning rate, at its highest where a schedule lowers it over all `steps` of the run.
    """
    for each in {id(m): m for m in (model, trainee)}.values():
        optimizer = keras.optimizers.get(recipe.optimizer if isinstance(recipe.optimizer, str) else recipe.optimizer())
        share = min(1.0, (config.batch_size or 1) / recipe.reference_batch) if recipe.reference_batch else 1.0
        peak = config.learning_rate or float(f"{float(np.asarray(optimizer.learning_rate)) * share:.6g}")
        optimizer.learning_rate = schedule(recipe, peak, steps)
        each.compile(
            optimizer=optimizer,
            loss=recipe.loss,
            loss_weights=recipe.loss_weights,
            metrics=recipe.metrics,
            jit_compile=choices.xla.value == "on",
            steps_per_execution=choices.steps_per_execution.value,
        )
    return peak


def schedule(recipe: Recipe, peak: float, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The recipe's learning rate over a run of so many steps; a short run warms up for a tenth of it at most."""
    if recipe.schedule == "constant":
        return peak
    if not (warmup := min(recipe.warmup_steps, steps // 10)):
        return keras.optimizers.schedules.CosineDecay(peak, steps)
    return keras.optimizers.schedules.CosineDecay(0.0, steps - warmup, warmup_target=peak, warmup_steps=warmup)


def load_weights(recipe: Recipe, weights: str | None, *models: keras.Model) -> None:
    """Fill the models from `--weights`. Raises UserError where the recipe or the file does not fit."""
    if weights is None:
        return
    if weights == "imagenet":
        if recipe.imagenet is None:
            raise UserError(
                f"{recipe.name} has no weights from ImageNet.", "Name a file with --weights, or leave it out."
            )
        try:
            others = recipe.imagenet(models[0])
        except Exception as error:  # whatever the network does wrong; Keras raises a bare Exception
            advice = "Keras keeps them in ~/.keras/models; a copy can be named with --weights FILE."
            raise UserError(f"The weights could not be had: {str(error)[:200]}.", advice) from error
        if others:
            print(f"weights        imagenet, but for {', '.join(others)}, whose shapes differ")
    else:
        try:
            models[0].load_weights(
                weights, **({} if weights.endswith((".weights.h5", ".keras")) else {"by_name": True})
            )
        except (OSError, ValueError, KeyError) as error:
            first = str(error).strip().partition("\n")[0][:300]
            raise UserError(
                f"{weights} does not fit {models[0].name}: {first}", f"`keraskit show {recipe.name}` lists the layers."
            ) from error
    for model in models[1:]:
        model.set_weights(models[0].get_weights())


def follow_data(recipe: Recipe, options: dict[str, Any], splits: Splits) -> dict[str, Any]:
    """The builder's arguments, with as many classes as the data has where the user named no number."""
    parameter = inspect.signature(recipe.build).parameters.get("classes")
    if parameter and "classes" not in options and parameter.default != len(splits.classes):
        return {**options, "classes": len(splits.classes)}
    return options


def follow_model(recipe: Recipe, model: keras.Model, splits: Splits) -> Splits:
    """The data in the shape of the model's input. Refuses a model that cannot learn from it."""
    outputs = (model.get_layer(recipe.head).output if recipe.head else model.outputs[0]).shape
    expected = (None, len(splits.classes))
    if outputs != expected:
        raise UserError(
            f"The model ends in {outputs[1:]}; one label per example of {splits.source['name']} needs {expected[1:]}.",
            "Change its --model flags; `keraskit show` draws it all the same.",
        )
    return splits.reshape(model.input_shape[1:]) if splits.reshape else splits
