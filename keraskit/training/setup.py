"""TrainingSetup: model, data, hardware and optimizer, ready to fit."""

import contextlib
import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any
from unittest import mock
from weakref import WeakSet

import keras
import numpy as np
import tensorflow as tf
from keras.callbacks import EarlyStopping
from tensorflow.errors import OpError

from keraskit.config import Settings
from keraskit.datasets.array_files import digest, explained
from keraskit.datasets.splits import ShuffledEpochs, Split, Splits
from keraskit.errors import UserError, did_you_mean, flags, lasting, sentence
from keraskit.files import MODEL, weights_file
from keraskit.models import applications, graph, keras_internals, weights
from keraskit.recipe import ARRAYS, Recipe, call, place
from keraskit.registry import Card
from keraskit.runs.folder import MANIFEST, RunFolder
from keraskit.training import acceleration, hardware, user_callbacks
from keraskit.training.settings import requested, settle

ALIGNING = {  # metrics that bring targets to the predictions' dimensions; F1Score would fail, Poisson broadcast
    *("accuracy", "acc", "binaryaccuracy", "mse", "mae", "meansquarederror", "meanabsoluteerror", "nonetype"),
    *("rootmeansquarederror", "auc", "precision", "recall"),
}
RETURNED = WeakSet[keras.Model]()  # models that builders returned in this process


@dataclasses.dataclass(frozen=True)
class TrainingSetup:
    """Everything that a run needs to start."""

    settings: Settings
    splits: Splits  # the examples, as inputs of the whole model
    training_data: Splits  # the splits to train on: `splits`, or features computed from them
    model: keras.Model  # float32; it is saved, evaluated and returned
    # What `fit` trains: a copy of the model, or of its layers above the features, under the run's dtype policy or
    # strategy; the layers themselves if policy and strategy change nothing.
    training_copy: keras.Model
    epochs: ShuffledEpochs  # the training batches
    callbacks: user_callbacks.UserCallbacks  # of the recipe, `--callbacks` and `--patience`
    devices: hardware.Devices
    choices: dict[str, hardware.Choice]
    monitor: tuple[str, float]  # the metric in the logs that decides the best epoch; and 1 if higher is better, else -1

    def update_model(self) -> None:
        """Copy the weights of the training copy to the model: all of them, or those above the features."""
        if self.training_copy is not self.model:
            trained = self.training_copy.get_weights()
            for variable, value in zip(self.model.weights[-len(trained) :], trained, strict=True):
                variable.assign(value)


def prepare(recipe: Recipe, settings: Settings, source: Any, devices: hardware.Devices) -> TrainingSetup:
    """Build, initialise and compile the model, and load its data from `source`, as `source_of` returns it."""
    cluster = devices.cluster
    keras.utils.set_random_seed(settings.seed)
    names = dict(keras_internals.given_names())
    with devices.scope:
        model = build(recipe, settings)
        splits = load(recipe, settings, model, source).augmented(settings.augment)
        load_weights(recipe, settings.weights, model, splits.source)
        head = above(model, recipe.features)
        data = computed(model, recipe.features, splits) if recipe.features else splits
    epochs = ShuffledEpochs(data.train, settings.batch_size, settings.seed, settings.steps_per_epoch, cluster.shard)
    steps = settings.epochs * epochs.steps
    with devices.scope:
        for each in {id(model): model, id(head): head}.values():
            compile_model(recipe, settings, steps, each)
        splits, data = in_columns(splits, model), in_columns(data, model)
        epochs.split = data.train
        callbacks = user_callbacks.own(recipe, settings, head.optimizer)
    choices = hardware.choose(head, settings, devices, epochs.steps, callbacks.callbacks, data.train)
    if cluster.workers:
        first = digest(model.get_weights())
        cluster.agree_on_run(recipe, settings, splits, first, choices["precision"].value)
    with devices.scope, cluster.together():
        copy, policy = head, hardware.POLICIES[choices["precision"].value]
        if policy != "float32" or cluster.strategy:
            copy = copied(recipe, settings, head, policy, names)
            compile_model(recipe, settings, steps, copy)
        by_xla, micro_batches = choices["xla"].value == "on", choices["micro_batches"].value
        copy.jit_compile = by_xla
        if settings.acceleration and not acceleration.hindrance(head):
            by_xla &= not devices.gpu
            if micro_batches > 1 or (by_xla and any(map(acceleration.is_plain, copy._flatten_layers()))):
                acceleration.accelerate(copy, micro_batches, by_xla)
                copy.jit_compile = False  # else micro-batches would run one after another; XLA compiles each
        copy.steps_per_execution = choices["steps_per_execution"].value
        complete(recipe, copy, data.train.element_spec, settings.batch_size)
        monitored = name, sign = user_callbacks.monitored(recipe, copy)
        if patience := settings.patience:
            callbacks.callbacks.append(EarlyStopping(name, patience=patience, mode="max" if sign > 0 else "min"))
        user_callbacks.check_callbacks(callbacks.callbacks, copy)
    return TrainingSetup(settings, splits, data, model, copy, epochs, callbacks, devices, choices, monitored)


def reopen(folder: RunFolder, named: Path | None = None) -> tuple[Settings, Splits, keras.Model]:
    """Load a run's data and best model, compiled, in one process. `named` is the user's own recipe file, if any."""
    recipe, config, options = requested(folder, named)
    config = config.replace(threads=None, device="auto", tensorboard=False)  # which are of the machine it ran on
    settings, source = source_of(recipe, settle(recipe, config, options))
    file = folder.file(MODEL)
    with hardware.configure(settings, alone=True).scope:
        if not named:  # a recipe of ours, whose arguments anybody may have written
            with explained(f"{folder.path / MANIFEST} asks for another model than {MODEL}", "Leave this folder out."):
                weights.check_built(lambda: build(recipe, settings), file)
        model = build(recipe, settings)
        splits = load(recipe, settings, model, source).augmented(settings.augment)
        applications.load_file(model, file)
        compile_model(recipe, settings, 1, model)
    return settings, in_columns(splits, model), model


def source_of(recipe: Recipe, settings: Settings) -> tuple[Settings, Any]:
    """Return the settings, which follow the data, and what the recipe's `data` returns; no image is decoded yet.

    `classes` is set if the builder has this parameter; on files of one's own, an epoch of our recipes is one pass.
    """
    source = call(recipe.data, settings.arguments)
    source = source() if callable(source) else source  # a user's function may return `from_arrays(...)`
    if not hasattr(source, "classes"):
        raise UserError(f"{place(recipe.data)} returns a {type(source).__name__}.", ARRAYS)
    given = settings.requested["knobs"].get("steps_per_epoch") or not Card(recipe.source, recipe.name).ours
    if source.source.get("path") and not source.source.get("reference", True) and not given:
        settings = settings.replace(steps_per_epoch=None)
    takes, count = inspect.signature(recipe.build).parameters, len(source.classes)
    if "classes" in takes and count:
        options = {name: value for name, value in settings.options.items() if name != "classes"}
        options |= {} if takes["classes"].default == count else {"classes": count}
        settings = settings.replace(options=options)
    return settings, source


def build(recipe: Recipe, settings: Settings) -> keras.Model:
    """Call the recipe's builder. Raises UserError if Keras cannot build the model."""
    try:
        model = call(recipe.build, settings.arguments)
        if model and (name := recipe.class_output):
            several = len(getattr(model, "outputs", ())) > 1
            ends = dict(zip(model.output_names, model.outputs, strict=True)) if several else {}
            ends = model.output if several and isinstance(model.output, dict) else ends
            if name not in ends or ends[name] is not model.get_layer(name).output:
                raise ValueError(f"class_output={name!r} ends none of several outputs, here {', '.join(ends) or 'one'}")
    except (ValueError, TypeError, ArithmeticError, LookupError, AssertionError, RecursionError, OpError) as error:
        takes = inspect.signature(recipe.build).parameters
        own = flags({name: value for name, value in settings.options.items() if name in takes})
        problem = f"{recipe.name} cannot be built{own and f' with {own}'}: {sentence(error)}"
        raise UserError(problem, own and f"`keraskit show {recipe.name} --help` lists its flags.") from error
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        problem = f"{place(recipe.build)} returns {lasting(model)}, and no model whose inputs are known."
        raise UserError(problem, "Begin with a keras.Input, and end with `return keras.Model(inputs, outputs)`.")
    if model in RETURNED:
        raise UserError(f"{place(recipe.build)} returns the same model again.", "Make one inside it for each run.")
    RETURNED.add(model)
    return model


def load(recipe: Recipe, settings: Settings, model: keras.Model, source: Any) -> Splits:
    """Load the data in the shape of the model's input, limited and weighted.

    `source` is the return value of the recipe's `data`. Raises UserError if the model does not fit the data.
    """
    name, classes = source.source["name"], source.classes
    if fixed := [each.shape[0] for each in model.inputs if each.shape[0] is not None]:
        advice = "Give keras.Input a shape alone, and leave stateful out: batches are shuffled."
        raise UserError(f"The model takes batches of {fixed[0]} alone.", advice)
    shape = (model.get_layer(recipe.class_output).output if recipe.class_output else model.outputs[0]).shape
    if classes and shape != (None, len(classes)) and not (shape == (None, 1) and len(classes) == 2):
        problem = f"The model ends in {shape[1:]}; one label per example of {name} needs ({len(classes)},)."
        missing = "Is a Flatten or a pooling layer missing?" if len(shape) > 2 else ""
        raise UserError(problem, missing or "Labels count from 0; targets that are no classes are floats.")
    splits = source.load(model.inputs[0].shape[1:]).limited(settings.limit)
    splits = dataclasses.replace(splits, train=splits.train.balanced()) if settings.class_weight else splits
    x, *_ = splits.train.element_spec
    if {each.dtype == tf.string for each in tf.nest.flatten(x)} != {each.dtype == "string" for each in model.inputs}:
        problem = f"{name} and {recipe.name}'s model differ: one has text as input, the other numbers."
        raise UserError(problem, 'Numbers as text become some by .astype(float); text takes a dtype="string".')
    return splits


def in_columns(splits: Splits, model: keras.Model) -> Splits:
    """Give one unit's targets of shape (n,) a column if metrics need it; code of one's own gets them as from `fit`."""
    given = keras.tree.flatten([model._compile_config.config.get(name) for name in ("metrics", "weighted_metrics")])
    names = {(each if isinstance(each, str) else type(each).__name__).lower().replace("_", "") for each in given}
    (_, y, *_), of = splits.train.element_spec, splits.train.targets
    alone = isinstance(y, tf.TensorSpec) and y.shape.rank == 1 and model.outputs[0].shape == (None, 1)
    if not (of and alone and names - ALIGNING and acceleration.all_of_keras(model, inner=False)):
        return splits
    return splits.map(lambda split: dataclasses.replace(split, targets=lambda x, y: of(x, y)[:, None]))


def load_weights(recipe: Recipe, weights: str | None, model: keras.Model, data: dict[str, Any]) -> None:
    """Load `--weights` into the model, unless its builder takes them. Raises UserError if recipe or data do not fit."""
    if weights in (None, "none") or "weights" in inspect.signature(recipe.build).parameters:
        return
    if weights != "imagenet":
        path = weights_file(weights)
        after, before, then = recipe.pretrained and recipe.pretrained.after, RunFolder(path.parent), data
        if after and not weights.endswith(".keras") and (before.path / MANIFEST).is_file():
            then = before.read_manifest("data")["data"]
        if any(then.get(name) != data.get(name) for name in ("sha256", "split")):
            problem = f"{before.path} was trained on other data, perhaps on what this run tests with."
            raise UserError(problem, f"Train {after} anew, or take its weights nevertheless: --weights {path}")
        base = applications.nested(model) if path.suffix == ".h5" and not path.name.endswith(".weights.h5") else None
        applications.load_file(base or model, path)
    elif recipe.pretrained is None:
        raise UserError(f"{recipe.name} has no weights from ImageNet.", "Name a file with --weights, or leave it out.")
    else:
        try:
            others = recipe.pretrained.load(model)
        except Exception as error:  # Keras raises a bare Exception if a download fails
            raise error if isinstance(error, UserError) else applications.unavailable(error) from error
        if others:
            print(f"weights        imagenet, but for {', '.join(others)}, whose shapes differ")


def above(model: keras.Model, features: str | None) -> keras.Model:
    """Return the trainable head: the layers above the features, or the whole model."""
    with explained(f"Nothing can be trained above {features!r}", "Name a layer of the model itself, not one inside."):
        return keras.Model(model.get_layer(features).output, model.outputs) if features else model


def computed(model: keras.Model, features: str, splits: Splits) -> Splits:
    """Replace each image of the training and validation splits by the model's features, computed once."""
    below = keras.Model(model.inputs, model.get_layer(features).output)
    print(f"features       {below.output_shape[-1]:,} of each picture, computed once", flush=True)

    def of(split: Split) -> Split:
        x, y = zip(*((below.predict_on_batch(x), y) for x, y, *_ in split.in_order(64)), strict=True)
        x, y = (keras.tree.map_structure(lambda *parts: np.concatenate(parts), *each) for each in (x, y))
        return Split.of(x, y, split.weights, labels=split.labels, names=split.names)

    return dataclasses.replace(splits, train=of(splits.train), validation=of(splits.validation))


def compile_model(recipe: Recipe, settings: Settings, steps: int, model: keras.Model) -> None:
    """Compile a model with the recipe's function, without XLA, which the runner chooses."""
    with mock.patch.dict(keras_internals.given_names(), clear=True):  # else a second AUC is "auc_1"
        call(recipe.compile, settings.arguments, model=model, steps=steps)
    if not model.compiled:
        raise UserError(f"{recipe.name}: its compile function did not call model.compile.", "Add the call.")
    model.jit_compile = False


def copied(recipe: Recipe, settings: Settings, head: keras.Model, policy: str, names: dict[str, int]) -> keras.Model:
    """Return the model again, in another precision or on several devices. `names` were given before the first."""
    with mock.patch.dict(keras_internals.given_names(), names, clear=True), contextlib.ExitStack() as stack:
        stack.callback(keras.config.set_dtype_policy, keras.config.dtype_policy())
        keras.config.set_dtype_policy(policy)
        copy = above(build(recipe, settings), recipe.features)
    ends = {each._keras_history.operation for model in copy._flatten_layers() for each in getattr(model, "outputs", ())}
    for layer in copy._flatten_layers():  # Keras's guide has outputs in float32, and RandomShear errs in bfloat16
        if layer in ends or "image_preprocessing" in type(layer).__module__:
            layer.dtype_policy = "float32"
    copy.set_weights(head.get_weights())
    return copy


def complete(recipe: Recipe, model: keras.Model, element_spec: Any, size: int) -> None:
    """Create variables of metrics, optimizers and seeds before a step is traced; TensorFlow would trace it twice.

    `element_spec` describes the training batches of `size` examples, a known number since some metrics would take any
    targets else. Raises UserError if the model does not accept the inputs, or the loss or metrics the targets.
    """
    batch = keras.tree.map_structure(lambda s: keras.KerasTensor((size, *s.shape[1:]), s.dtype.name), element_spec)
    try:
        model._symbolic_build(data_batch=batch)
    except (ValueError, TypeError, KeyError) as error:
        said = str(error).strip('"')  # which a KeyError adds
        output = getattr(model, "output", None)  # which a Sequential has only once it is called
        outputs = [*getattr(model, "output_names", ()), *(output if isinstance(output, dict) else ())]
        targets = ", ".join(f"{each.dtype} {each.shape}" for each in keras.tree.flatten(batch[1]))
        problem, advice = f"{place(recipe.compile)}: the loss or metrics do not take the targets, {targets}", ""
        if "incompatible with the layer" in said:
            problem = f"{place(recipe.build)}: the model does not take the inputs"
        elif isinstance(batch[1], dict) and (odd := [name for name in batch[1] if name not in outputs]):
            said, advice = f"There is no output {odd[0]!r}", did_you_mean(odd[0], outputs)
        elif name := re.search(r"(?:identifier: |path: \(')(\w+)", said):
            advice = did_you_mean(name[1], [*outputs, *dir(keras.losses), *dir(keras.metrics), "accuracy"])
        elif re.search("shape|dimension", said):
            advice = "Labels as numbers go with sparse losses and one sigmoid, one-hot rows with categorical losses."
            advice += " F1Score of one sigmoid takes y.reshape(-1, 1)." * ("2D inputs" in said)
        raise UserError(f"{problem}: {sentence(said)}", advice) from error
    user_callbacks.check_metrics(model, batch[1])
    for each in graph.optimizers(model).values():
        if not each.built:
            each.build(model.trainable_variables)
    keras_internals.SEEDS()
