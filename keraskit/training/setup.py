"""TrainingSetup: model, data, hardware and optimizer, fitted to each other and ready to fit."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import re
import time
from collections.abc import Mapping
from types import MappingProxyType
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
from keraskit.recipe import Recipe, call, filled
from keraskit.training import checkpoint, hardware, monitor, outputs, resources
from keraskit.training.acceleration import lstm
from keraskit.training.acceleration.micro_batches import MicroBatched, hindrance


@dataclasses.dataclass(frozen=True)
class TrainingSetup:
    """A run that can begin.

    Args:
        recipe: what is trained.
        settings: every knob.
        options: the builder's arguments and the other flags of the recipe's own.
        splits: the examples, as the whole model takes them.
        training_data: what is learned from: these, or features of them.
        model: the float32 model that is saved, evaluated and handed back.
        head: this model, or the layers of it that are trained above features.
        training_copy: the head under the run's dtype policy or strategy, which `fit` trains; the head itself where
            these change nothing.
        epochs: the training batches.
        place: where it computes.
        choices: device, precision and the like, each with its reason.
        monitor: the metric in the logs that decides which epoch is the best; and 1 where higher is better, else -1.
        measured: the names of what validation measures; none where workers alone could tell.
        needs: what memory the run will take, where that is worth saying.
        activation: "softmax" or "sigmoid", which makes probabilities of the logits that the class output gives; None
            where it gives probabilities.
        wrong: sentences on outputs, loss and metrics that do not fit each other.
    """

    recipe: Recipe
    settings: Settings
    options: dict[str, Any]
    splits: Splits
    training_data: Splits
    model: keras.Model
    head: keras.Model
    training_copy: keras.Model
    epochs: ShuffledEpochs
    place: hardware.Place
    choices: hardware.Choices
    monitor: tuple[str, float]
    measured: list[str]
    needs: str | None
    activation: str | None
    wrong: list[str]

    @property
    def classes(self) -> dict[str, Any]:
        """What the manifest says of them."""
        given = {"class_output": self.recipe.class_output, "class_activation": self.activation}
        return {"classes": list(self.splits.classes), **given}


def load(recipe: Recipe, settings: Settings) -> Splits:
    """The recipe's data, at most `limit` examples of each split, weighted as `class_weight` says."""
    splits = call(recipe.data, settings.options, **filled(settings)).limited(settings.limit)
    return splits.map(Split.balanced, ["train"]) if settings.class_weight else splits


def prepare(recipe: Recipe, settings: Settings, splits: Splits, place: hardware.Place) -> TrainingSetup:
    """Build, initialise and compile the model, and fit data and model to each other."""
    cluster = place.cluster
    cluster.agree_on_run(recipe, settings, splits)
    keras.utils.set_random_seed(settings.seed)
    options = follow_data(recipe, settings.options, splits)
    steps = settings.steps_per_epoch or math.ceil(splits.train.size / settings.batch_size)
    values = {**filled(settings), "steps": settings.epochs * steps}
    with place.scope:
        model = build(recipe, options, values)
        splits = follow_model(recipe, model, splits).augmented(settings.augment)
        if "weights" not in inspect.signature(recipe.build).parameters:  # else it has taken them
            load_weights(recipe, settings.weights, model)
        resources.check_saving(model)
        head = above(model, recipe.features)
        training_data = computed(model, recipe.features, splits) if recipe.features else splits
    train = training_data.train
    epochs = ShuffledEpochs(train, settings.batch_size, settings.seed, settings.steps_per_epoch, cluster.share)
    choose = functools.partial(hardware.choose, head, settings, place, epochs.steps, named=train.names is not None)
    choices = choose()

    def compiled(model: keras.Model, chosen: hardware.Choices | None = None) -> keras.Model:
        """Have the recipe compile a model, and set what is the runner's to choose."""
        call(recipe.compile, options, **values, model=model)
        if not model.compiled:
            raise UserError(f"{recipe.name}: its compile function did not call model.compile.", "Add the call.")
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        if cluster.strategy and getattr(optimizer, "use_ema", False) and optimizer.ema_overwrite_frequency:
            problem = "An optimizer that sets weights to their average as it goes (ema_overwrite_frequency) does so"
            raise UserError(f"{problem} on one device alone.", "Leave that out, or --devices and --workers.")
        model.jit_compile = chosen is not None and chosen.xla.value == "on" and not isinstance(model, MicroBatched)
        model.steps_per_execution = chosen.steps_per_execution.value if chosen else 1
        return model

    with place.scope, cluster.together():
        with cluster.scope():
            copy = compiled(copied(choices.policy, recipe, options, head, values), choices)
            by_xla = choices.xla.value == "on" and place.device.value.startswith("cpu")
            if choices.micro_batches.value > 1 or (by_xla and any(map(lstm.is_plain, copy._flatten_layers()))):
                if reason := hindrance(copy):
                    choices = choose(whole=reason)
                else:
                    copy = MicroBatched.of(copy, choices.micro_batches.value, by_xla)
                copy = compiled(copy, choices)
            needs = resources.check_memory(model, copy.optimizer, copies=1 + (copy is not head))
            checkpoint.complete(copy, epochs.dataset.element_spec)
            known = [] if cluster.workers else monitor.measured(copy, epochs.dataset.element_spec)
        for each in {id(m): m for m in (head, model) if m is not copy}.values():
            # Frozen layers may lie below the head, for which the choices were not made.
            compiled(each, choices if each is head else None)
        activation, wrong = outputs.examine(model, splits.train, recipe.class_output)
    return TrainingSetup(
        recipe=recipe,
        settings=settings,
        options=options,
        splits=splits,
        training_data=training_data,
        model=model,
        head=head,
        training_copy=copy,
        epochs=epochs,
        place=place,
        choices=choices,
        monitor=monitor.monitored(recipe, copy, known),
        measured=known,
        needs=needs,
        activation=activation,
        wrong=wrong,
    )


def build(recipe: Recipe, options: dict[str, Any], values: Mapping[str, Any] = MappingProxyType({})) -> keras.Model:
    """Call the recipe's builder with these flags of its own, and the run's values. What Keras refuses is one line."""
    takes = inspect.signature(recipe.build).parameters
    own = {name: value for name, value in options.items() if name in takes}
    try:
        if own:
            resources.check_build(recipe.build, own)
        model = call(recipe.build, own, **values)
        for layer in model._flatten_layers():
            if not re.fullmatch(r"[\w./-]+", layer.name, re.ASCII):  # TensorFlow takes no others, nor does a graph
                raise ValueError(f"{layer.name!r} is no name of a layer: expected letters, digits, _, -, . and /")
        return model
    except (ValueError, TypeError, ArithmeticError, LookupError, AssertionError, tf.errors.OpError) as error:
        with_flags = f" with {flags(own)}" if own else ""
        problem = f"{recipe.name} cannot be built{with_flags}: {_why_not(error)}"
        raise UserError(problem, f"`keraskit show {recipe.name} --help` lists its flags.") from error


def _why_not(error: Exception) -> str:
    """Keras's reason in a sentence; of its most frequent one, a kernel that does not fit, in ours."""
    said = re.sub(r"\x1b\[\d*m", "", str(error)).strip()  # Keras prints in bold
    said = said.partition(".call().\n")[2].strip() or said  # before it, only which layer was called
    if "size would be zero or negative" in said and (shape := re.search(r"shape=[(\[]None,? (\d+),? (\d+)", said)):
        return f"a kernel or pool is larger than the {shape[1]}x{shape[2]} pixels that reach it."
    return sentence(said)


def copied(
    policy: str, recipe: Recipe, options: dict[str, Any], head: keras.Model, values: dict[str, Any]
) -> keras.Model:
    """The same layers and weights, in another precision or on several devices; else the head itself."""
    if policy == "float32" and not tf.distribute.has_strategy():
        return head
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        copy = above(build(recipe, options, values), recipe.features)
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


def follow_data(recipe: Recipe, options: dict[str, Any], splits: Splits) -> dict[str, Any]:
    """The options of model and optimizer, with as many classes as the data has where `build` takes their number."""
    builds = inspect.signature(recipe.build).parameters
    takes = {*builds, *inspect.signature(recipe.compile).parameters}
    own = {name: value for name, value in options.items() if name in takes}
    if "classes" not in builds or not splits.classes:
        return own
    classes = {"classes": len(splits.classes)} if builds["classes"].default != len(splits.classes) else {}
    return {name: value for name, value in own.items() if name != "classes"} | classes


def follow_model(recipe: Recipe, model: keras.Model, splits: Splits) -> Splits:
    """The data in the shape of the model's input and output. Refuses a model that cannot learn from it."""
    if not getattr(model, "inputs", None):
        problem = f"The inputs of {recipe.name}'s model, a {type(model).__name__}, are not known before it is called."
        raise UserError(problem, "Build a keras.Model of inputs and outputs, or a Sequential with a keras.Input.")
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False):
            problem = f"{layer.name} keeps its state between batches (stateful=True), but these are shuffled."
            raise UserError(problem, "Leave stateful out: then every example begins anew.")
    if fixed := [each.shape[0] for each in model.inputs if each.shape[0] is not None]:
        problem = f"{recipe.name}'s model takes batches of {fixed[0]} examples alone; an epoch's last may be smaller."
        raise UserError(problem, "Give keras.Input a shape, and no batch_shape or batch_size.")
    shape = (model.get_layer(recipe.class_output).output if recipe.class_output else model.outputs[0]).shape
    expected = (None, len(splits.classes))
    if splits.classes and shape != expected and not (shape == (None, 1) and len(splits.classes) == 2):
        needed = f"one label per example of {splits.source['name']} needs {expected[1:]}"
        advice = "Change its flags; `keraskit show` draws it all the same. Targets that are no classes are floats."
        raise UserError(f"The model ends in {shape[1:]}; {needed}.", advice)
    splits = splits.reshape(model.input_shape[1:]) if splits.reshape else splits
    x, y, *_ = splits.train.in_order(1).element_spec
    if {each.dtype == tf.string for each in tf.nest.flatten(x)} != {each.dtype == "string" for each in model.inputs}:
        problem = f"{splits.source['name']} and {recipe.name}'s model differ: one has text as input, the other numbers"
        raise UserError(f"{problem}.", 'Numbers as text become some by .astype(float); text takes a dtype="string".')
    if isinstance(y, tf.TensorSpec) and y.shape.rank == 1 and model.outputs[0].shape == (None, 1):
        return splits.map(Split.in_a_column)  # as F1Score, R2Score and others of Keras's metrics want targets
    return splits
