"""Prepares a run: settles the knobs, builds and compiles the model, fits data and model to each other."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import re
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keraskit import applications, places
from keraskit.augment import Augmentation
from keraskit.config import QUICK_EPOCHS, QUICK_EXAMPLES, RunConfig, changed, flags
from keraskit.datasets.layout import PARTS
from keraskit.datasets.splits import ShuffledEpochs, Split, Splits
from keraskit.errors import UserError, sentence
from keraskit.recipe import Recipe
from keraskit.training import devices, memory, tuned
from keraskit.training.parts import InParts
from keraskit.training.team import ONE, Team


@dataclasses.dataclass(frozen=True)
class Ready:
    """A run that can begin.

    Args:
        options: the builder's arguments.
        splits: pictures or other examples, as the whole model takes them.
        lessons: what is learned from: these, or features of them.
        model: the float32 model that is saved, evaluated and handed back.
        learner: this model, or the part of it that learns.
        trainee: the same as the learner, in the precision of the run.
        epochs: the training batches.
        choices: device, precision and the like, each with its reason.
        team: the devices and machines that train together.
        rate: the learning rate, at its highest where a schedule lowers it.
        needs: what memory the run will take, where that is worth saying.
    """

    options: dict[str, Any]
    splits: Splits
    lessons: Splits
    model: keras.Model
    learner: keras.Model
    trainee: keras.Model
    epochs: ShuffledEpochs
    choices: devices.Choices
    team: Team
    rate: float
    needs: str | None


def ready(recipe: Recipe, config: RunConfig, options: dict[str, Any], splits: Splits, team: Team = ONE) -> Ready:
    """Build and compile the model, fill it, and fit data and model to each other. `config` is settled."""
    assert config.epochs and config.batch_size
    team.check(config.batch_size)
    keras.utils.set_random_seed(config.seed)
    options = follow_data(recipe, options, splits)
    model = build(recipe, options)
    splits = follow_model(recipe, model, splits).augmented(config.augment)
    load_weights(recipe, config.weights, model)
    learner = above_features(recipe, model)
    lessons = features(recipe, model, splits) if recipe.features else splits
    epochs = ShuffledEpochs(lessons.train, config.batch_size, config.seed, config.steps_per_epoch, team.share)
    remembered = tuned.recall(recipe, config, options)
    named = lessons.train.names is not None
    choices = devices.choose(learner, config, epochs.steps, remembered, team, named)
    trainee = twin(choices.policy, recipe, options, learner, team)
    if choices.parts.value > 1:
        trainee = InParts.of(trainee, choices.parts.value)
    rate = compile_all(recipe, config, choices, [model, learner, trainee], config.epochs * epochs.steps, team)
    needs = memory.check(model, trainee.optimizer, copies=1 + (trainee is not learner))
    return Ready(options, splits, lessons, model, learner, trainee, epochs, choices, team, rate, needs)


def settle(recipe: Recipe, asked: RunConfig, options: dict[str, Any]) -> tuple[RunConfig, dict[str, Any]]:
    """The knobs and the builder's arguments; what the user left to the recipe filled in, a quick run bounded."""
    epochs, limit, batch_size = asked.epochs or recipe.epochs, asked.limit, asked.batch_size or recipe.batch_size
    if asked.quick:
        limit = min(limit or QUICK_EXAMPLES, recipe.quick.get("limit", QUICK_EXAMPLES))
        batch_size = asked.batch_size or recipe.quick.get("batch_size", recipe.batch_size)
        epochs = asked.epochs or min(epochs, QUICK_EPOCHS)
        options = {**recipe.quick.get("model", {}), **options}
    augment = dataclasses.replace(recipe.augment, **changed(asked.augment))
    if recipe.features and augment != Augmentation():
        raise UserError(
            f"{recipe.name} computes what it learns from once, so pictures cannot change from epoch to epoch.",
            "Leave the --augment flags out, or take cats_dogs_finetune.",
        )
    config = dataclasses.replace(
        asked,
        epochs=epochs,
        limit=limit,
        batch_size=batch_size,
        steps_per_epoch=asked.steps_per_epoch or (None if asked.quick else recipe.steps_per_epoch),
        augment=augment,
        weights=asked.weights or recipe.weights,
    )
    return config, options


def build(recipe: Recipe, options: dict[str, Any]) -> keras.Model:
    """Call the recipe's builder. What Keras refuses becomes one line."""
    try:
        if options:
            memory.check_build(recipe.build, options)
        return recipe.build(**options)
    except (ValueError, TypeError, tf.errors.ResourceExhaustedError) as error:
        with_options = f" with {flags(options, 'model.')}" if options else ""
        raise UserError(
            f"{recipe.name} cannot be built{with_options}: {_why_not(error)}", f"`{recipe.command} --help` says more."
        ) from error


def _why_not(error: Exception) -> str:
    """Keras's reason in a sentence; of its most frequent one, a kernel that does not fit, in ours."""
    said = re.sub(r"\x1b\[\d*m", "", str(error)).strip()  # Keras prints in bold
    said = said.partition(".call().\n")[2].strip() or said  # before it, only which layer was called
    if "size would be zero or negative" in said and (shape := re.search(r"shape=[(\[]None,? (\d+),? (\d+)", said)):
        return f"a kernel or pool is larger than the {shape[1]}x{shape[2]} pixels that reach it."
    return sentence(said)


def twin(policy: str, recipe: Recipe, options: dict[str, Any], learner: keras.Model, team: Team = ONE) -> keras.Model:
    """What is trained, with the same weights, in another precision or on several devices; else itself."""
    if policy == "float32" and team.strategy is None:
        return learner
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        with team.building():
            trainee = above_features(recipe, build(recipe, options))
    finally:
        keras.config.set_dtype_policy(before)
    trainee.set_weights(learner.get_weights())
    return trainee


def above_features(recipe: Recipe, model: keras.Model) -> keras.Model:
    """The layers that are trained: all, or those above the recipe's features."""
    return keras.Model(model.get_layer(recipe.features).output, model.outputs) if recipe.features else model


def features(recipe: Recipe, model: keras.Model, splits: Splits) -> Splits:
    """The splits with the model's features of each picture in its place, computed now."""
    below = keras.Model(model.inputs, model.get_layer(recipe.features).output)
    started = time.monotonic()

    def computed(split: Split) -> Split:
        values = below.predict(split.in_order(64), verbose=0)
        with tf.device("/CPU:0"):
            stored, labels = tf.constant(values), tf.constant(split.labels)
        return dataclasses.replace(split, inputs=None, load=lambda i: (tf.gather(stored, i), tf.gather(labels, i)))

    parts: dict[str, Any] = {part: computed(getattr(splits, part)) for part in PARTS if part != "test"}
    size = below.output_shape[-1]
    print(f"features       {size:,} of each picture, computed once in {time.monotonic() - started:.0f} s", flush=True)
    return dataclasses.replace(splits, **parts)


def compile_all(
    recipe: Recipe,
    config: RunConfig,
    choices: devices.Choices,
    models: Sequence[keras.Model],
    steps: int,
    team: Team = ONE,
) -> float:
    """Compile what is trained, the last of the models, and those before it, the first being the one that is evaluated.

    Returns the learning rate, at its highest where a schedule lowers it over all `steps` of the run.
    """
    parts = models[1:]
    for each in {id(m): m for m in models}.values():
        chosen = any(each is part for part in parts)  # else frozen layers lie below, which the choices are not for
        with team.building() if each is models[-1] else contextlib.nullcontext():
            peak = _compile(recipe, config, choices, each, steps, chosen)
    return peak


def _compile(
    recipe: Recipe, config: RunConfig, choices: devices.Choices, each: keras.Model, steps: int, chosen: bool
) -> float:
    """Compile one model; the learning rate at its highest."""
    optimizer = keras.optimizers.get(recipe.optimizer if isinstance(recipe.optimizer, str) else recipe.optimizer())
    share = min(1.0, (config.batch_size or 1) / recipe.reference_batch) if recipe.reference_batch else 1.0
    peak = config.learning_rate or float(f"{float(np.asarray(optimizer.learning_rate)) * share:.6g}")
    optimizer.learning_rate = schedule(recipe, peak, steps)
    each.compile(
        optimizer=optimizer,
        loss=loss_for(recipe, each),
        loss_weights=recipe.loss_weights,
        metrics=recipe.metrics,
        jit_compile=chosen and choices.xla.value == "on",
        steps_per_execution=choices.steps_per_execution.value if chosen else 1,
    )
    return peak


def loss_for(recipe: Recipe, model: keras.Model) -> Any:
    """The recipe's loss; for one of two classes, where a model has grown to name one of several, that for several."""
    several = recipe.loss == "binary_crossentropy" and model.output_shape[-1] > 1
    return "sparse_categorical_crossentropy" if several else recipe.loss


def schedule(recipe: Recipe, peak: float, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The recipe's learning rate over a run of so many steps; a short run warms up for a tenth of it at most."""
    if recipe.schedule == "constant":
        return peak
    if not (warmup := min(recipe.warmup_steps, steps // 10)):
        return keras.optimizers.schedules.CosineDecay(peak, steps)
    return keras.optimizers.schedules.CosineDecay(0.0, steps - warmup, warmup_target=peak, warmup_steps=warmup)


def load_weights(recipe: Recipe, weights: str | None, model: keras.Model) -> None:
    """Fill the model from `--weights`. Raises UserError where the recipe or the file does not fit."""
    if weights in (None, "none"):
        return
    if weights != "imagenet":
        path = places.weights_file(weights)
        base = applications.nested(model) if path.suffix == ".h5" and not path.name.endswith(".weights.h5") else None
        applications.load_file(base or model, path)
        return
    if recipe.imagenet is None:
        raise UserError(f"{recipe.name} has no weights from ImageNet.", "Name a file with --weights, or leave it out.")
    try:
        others = recipe.imagenet(model)
    except UserError:
        raise
    except Exception as error:  # whatever the network does wrong; Keras raises a bare Exception
        raise applications.unavailable(error) from error
    if others:
        print(f"weights        imagenet, but for {', '.join(others)}, whose shapes differ")


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
    if outputs != expected and not (outputs == (None, 1) and len(splits.classes) == 2):
        raise UserError(
            f"The model ends in {outputs[1:]}; one label per example of {splits.source['name']} needs {expected[1:]}.",
            "Change its --model flags; `keraskit show` draws it all the same.",
        )
    return splits.reshape(model.input_shape[1:]) if splits.reshape else splits
