"""TrainingSetup: model, data, hardware and optimizer, fitted to each other and ready to fit."""

from __future__ import annotations

import dataclasses
import inspect
import math
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keraskit.config import Settings, flags
from keraskit.datasets.epochs import ShuffledEpochs
from keraskit.datasets.pipeline import stopping
from keraskit.datasets.splits import Split, Splits
from keraskit.errors import UserError, sentence
from keraskit.files import weights_file
from keraskit.models import applications
from keraskit.recipe import Recipe, call
from keraskit.training import acceleration, checkpoint, hardware, monitor, resources, user_callbacks
from keraskit.training.user_callbacks import UserCallbacks


@dataclasses.dataclass(frozen=True)
class TrainingSetup:
    """A run that can begin.

    Args:
        settings: every knob.
        splits: the examples, as the whole model takes them.
        training_data: what is learned from: these, or features of them.
        model: the float32 model that is saved, evaluated and handed back.
        training_copy: the model, or its layers above features, under the run's dtype policy or strategy, which `fit`
            trains; these layers themselves where policy and strategy change nothing.
        epochs: the training batches.
        callbacks: the recipe's, and those of `--callbacks`.
        devices: where it computes.
        choices: device, precision and the like, each with its reason.
        monitor: the metric in the logs that decides which epoch is the best; and 1 where higher is better, else -1.
    """

    settings: Settings
    splits: Splits
    training_data: Splits
    model: keras.Model
    training_copy: keras.Model
    epochs: ShuffledEpochs
    callbacks: UserCallbacks
    devices: hardware.Devices
    choices: hardware.Choices
    monitor: tuple[str, float]

    def update_model(self) -> None:
        """Give the model the weights of the training copy: all, or the last ones, above features."""
        trained = self.training_copy.get_weights()
        for variable, value in zip(self.model.weights[-len(trained) :], trained, strict=True):
            variable.assign(value)


def prepare(recipe: Recipe, settings: Settings, source: Any, devices: hardware.Devices) -> TrainingSetup:
    """Build, initialise and compile the model, and load the data for it: `source`, from the recipe's `data`."""
    cluster = devices.cluster
    keras.utils.set_random_seed(settings.seed)
    settings = follow_classes(recipe, settings, source.classes)
    with devices.scope:
        model = build(recipe, settings)
        splits = load(recipe, settings, model, source).augmented(settings.augment)
        cluster.agree_on_run(recipe, settings, splits)
        steps = settings.epochs * (settings.steps_per_epoch or math.ceil(splits.train.size / settings.batch_size))
        if "weights" not in inspect.signature(recipe.build).parameters:  # else it has taken them
            load_weights(recipe, settings.weights, model)
        resources.check_saving(model)
        head = above(model, recipe.features)
        data = computed(model, recipe.features, splits) if recipe.features else splits
    epochs = ShuffledEpochs(data.train, settings.batch_size, settings.seed, settings.steps_per_epoch, cluster.share)
    with devices.scope:
        for each in {id(model): model, id(head): head}.values():
            compile_model(recipe, settings, steps, each)
    choices = hardware.choose(head, settings, devices, epochs.steps, named=data.train.names is not None)
    with devices.scope, cluster.together(), cluster.scope():
        copy = head
        if choices.policy != "float32" or cluster.strategy:
            copy = copied(recipe, settings, head, choices.policy)
        if settings.acceleration:
            copy = acceleration.applied(copy, choices, head.loss)
        if copy is not head:
            compile_model(recipe, settings, steps, copy)
        copy.jit_compile = choices.xla.value == "on"
        copy.steps_per_execution = 1 if copy.run_eagerly else choices.steps_per_execution.value
        resources.check_memory(copy)
        checkpoint.complete(copy, epochs.batches().element_spec)
    return TrainingSetup(
        settings=settings,
        splits=splits,
        training_data=data,
        model=model,
        training_copy=copy,
        epochs=epochs,
        callbacks=user_callbacks.own(recipe, settings.callbacks, copy),
        devices=devices,
        choices=choices,
        monitor=monitor.monitored(recipe, copy),
    )


def build(recipe: Recipe, settings: Settings) -> keras.Model:
    """Call the recipe's builder. What Keras refuses is one line."""
    takes = inspect.signature(recipe.build).parameters
    own = {name: value for name, value in settings.options.items() if name in takes}
    try:
        if own:
            resources.check_build(recipe.build, own)
        return call(recipe.build, settings.arguments)
    except (ValueError, TypeError, ArithmeticError, LookupError, AssertionError, tf.errors.OpError) as error:
        with_flags = f" with {flags(own)}" if own else ""
        problem = f"{recipe.name} cannot be built{with_flags}: {sentence(error)}"
        raise UserError(problem, f"`keraskit show {recipe.name} --help` lists its flags.") from error


def compile_model(recipe: Recipe, settings: Settings, steps: int, model: keras.Model) -> None:
    """Have the recipe compile a model, without XLA, which is the runner's to choose."""
    call(recipe.compile, settings.arguments, model=model, steps=steps)
    if not model.compiled:
        raise UserError(f"{recipe.name}: its compile function did not call model.compile.", "Add the call.")
    model.jit_compile = False


def copied(recipe: Recipe, settings: Settings, head: keras.Model, policy: str) -> keras.Model:
    """The same layers and weights, in another precision or on several devices."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        copy = above(build(recipe, settings), recipe.features)
    finally:
        keras.config.set_dtype_policy(before)
    copy.set_weights(head.get_weights())
    return copy


def above(model: keras.Model, features: str | None) -> keras.Model:
    """The layers that are trained: all, or those above the features."""
    return keras.Model(model.get_layer(features).output, model.outputs) if features else model


def computed(model: keras.Model, features: str, splits: Splits) -> Splits:
    """The splits with the model's features of each picture in its place, computed now."""
    below = keras.Model(model.inputs, model.get_layer(features).output)
    started = time.monotonic()

    def of(split: Split) -> Split:
        values, targets = [], []
        with stopping():
            for x, y, *_ in split.in_order(64):
                values.append(below.predict_on_batch(x))
                targets.append(y)
        x, y = (keras.tree.map_structure(lambda *parts: np.concatenate(parts), *each) for each in (values, targets))
        return Split.of(x, y, split.weights, labels=split.labels, names=split.names)

    made = dataclasses.replace(splits, train=of(splits.train), validation=of(splits.validation))
    size = below.output_shape[-1]
    print(f"features       {size:,} of each picture, computed once in {time.monotonic() - started:.0f} s", flush=True)
    return made


def load_weights(recipe: Recipe, weights: str | None, model: keras.Model) -> None:
    """Fill the model from `--weights`. Raises UserError where the recipe or the file does not fit."""
    if weights in (None, "none"):
        return
    if weights != "imagenet":
        path = weights_file(weights)
        base = applications.nested(model) if path.suffix == ".h5" and not path.name.endswith(".weights.h5") else None
        applications.load_file(base or model, path)
        return
    if recipe.pretrained is None:
        raise UserError(f"{recipe.name} has no weights from ImageNet.", "Name a file with --weights, or leave it out.")
    try:
        others = recipe.pretrained.load(model)
    except UserError:
        raise
    except Exception as error:  # whatever the network does wrong; Keras raises a bare Exception
        raise applications.unavailable(error) from error
    if others:
        print(f"weights        imagenet, but for {', '.join(others)}, whose shapes differ")


def follow_classes(recipe: Recipe, settings: Settings, classes: Sequence[str]) -> Settings:
    """Set `classes` from the data, where the builder takes their number."""
    takes = inspect.signature(recipe.build).parameters
    if "classes" not in takes or not classes:
        return settings
    options = {name: value for name, value in settings.options.items() if name != "classes"}
    count = len(classes)
    return settings.replace(options=options if takes["classes"].default == count else options | {"classes": count})


def load(recipe: Recipe, settings: Settings, model: keras.Model, source: Any) -> Splits:
    """Load the data in the shape of the model's input, limited and weighted. Refuses a model that cannot learn from it.

    `source` is what the recipe's `data` returned: its classes are known, and no picture is decoded yet.
    """
    if not getattr(model, "inputs", None):
        problem = f"The inputs of the model, a {type(model).__name__}, are not known before it is called."
        raise UserError(problem, "Build a keras.Model of inputs and outputs, or a Sequential with a keras.Input.")
    if fixed := [each.shape[0] for each in model.inputs if each.shape[0] is not None]:
        problem = f"The model takes batches of {fixed[0]} examples alone; an epoch's last may be smaller."
        raise UserError(problem, "Give keras.Input a shape, and no batch_shape or batch_size.")
    shape = (model.get_layer(recipe.class_output).output if recipe.class_output else model.outputs[0]).shape
    expected = (None, len(source.classes))
    if source.classes and shape != expected and not (shape == (None, 1) and len(source.classes) == 2):
        needed = f"one label per example of {source.source['name']} needs {expected[1:]}"
        advice = "Change its flags; `keraskit show` draws it all the same. Targets that are no classes are floats."
        raise UserError(f"The model ends in {shape[1:]}; {needed}.", advice)
    splits = source.load(model.inputs[0].shape[1:]).limited(settings.limit)
    splits = splits.map(Split.balanced, ["train"]) if settings.class_weight else splits
    x, y, *_ = splits.train.in_order(1).element_spec
    if {each.dtype == tf.string for each in tf.nest.flatten(x)} != {each.dtype == "string" for each in model.inputs}:
        problem = f"{source.source['name']} and {recipe.name}'s model differ: one has text as input, the other numbers"
        raise UserError(f"{problem}.", 'Numbers as text become some by .astype(float); text takes a dtype="string".')
    if isinstance(y, tf.TensorSpec) and y.shape.rank == 1 and model.outputs[0].shape == (None, 1):
        return splits.map(Split.in_a_column)  # as F1Score, R2Score and others of Keras's metrics want targets
    return splits
