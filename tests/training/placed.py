"""A program for test_placement.py: prints on which device everything lies, of one run and of every recipe's set-up.

The CPU is two devices; the second stands for an accelerator.
"""

import json
import sys

from keraskit import start

start.start_tensorflow()

import tensorflow as tf  # noqa: E402

import keraskit  # noqa: E402
from keraskit.config import RunConfig  # noqa: E402
from keraskit.datasets.array_files import digest  # noqa: E402
from keraskit.recipe import call  # noqa: E402
from keraskit.registry import load_recipe, recipes_available  # noqa: E402
from keraskit.training import hardware  # noqa: E402
from keraskit.training.callbacks import Checkpoints  # noqa: E402
from keraskit.training.settings import settle  # noqa: E402
from keraskit.training.setup import prepare  # noqa: E402

PETS, PRETRAINED = {"size": 64}, {"size": 32, "alpha": 0.25}
SMALL = {
    "lstm": {"timesteps": 28, "units": 8},
    "multi_output": {"extract": 4, "units": 4},
    "vgg16": {"size": 32, "width": 0.03, "dropout": 0.5},
    "cats_dogs": PETS,
    "cats_dogs_augmented": PETS,
    "cats_dogs_features": PRETRAINED,
    "cats_dogs_finetune": PRETRAINED,
}
KNOBS = {"device": "cpu:1", "epochs": 1, "batch_size": 4, "weights": "none"}
configure, save = hardware.configure, Checkpoints.save
saved = {}


def of_variables(variables):
    """Device by variable."""
    return {f"{i} {v.path}": v.value.device[-5:] for i, v in enumerate(variables)}


def of_setup(setup):
    """Devices by what lies there, in two groups."""
    models = {"model": setup.model, "training copy": setup.training_copy}
    there = {f"{name}'s {k}": v for name, m in models.items() for k, v in of_model(m).items()}
    with setup.devices.scope:  # as `fit` and evaluation have it
        splits = setup.splits, setup.training_data
        batches = [next(iter(setup.epochs.batches()))]
        batches += [next(iter(split.in_order(4))) for each in splits for split in (each.validation, each.test)]
    here = {f"{i} of the input pipeline": t.device[-5:] for i, t in enumerate(tf.nest.flatten(batches))}
    return {"there": there, "here": here}


def of_model(model):
    """Devices of a model's weights and states, its metrics, and its optimizer."""
    groups = {"variables": model.variables, "metrics": model.metrics_variables, "optimizer": model.optimizer.variables}
    return {f"{kind}: {name}": d for kind, group in groups.items() for name, d in of_variables(group).items()}


def first(config):
    """TensorFlow refuses this once any tensor exists."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    hardware.configure = configure
    return configure(config)


def spied(self, *where):
    """What trains, when a checkpoint is written."""
    saved.update(of_model(self.model))
    save(self, *where)


hardware.configure, Checkpoints.save = first, spied
result = keraskit.run("mlp", limit=64, output_dir=sys.argv[1], hidden=(8,), **KNOBS)
there = saved | of_model(result.model)
again = keraskit.run("mlp", limit=64, output_dir=sys.argv[1], hidden=(8,), **KNOBS | {"device": "cpu"})
equal = digest(result.model.get_weights()) == digest(again.model.get_weights())
found = {"a run": {"there": there, "here": {}, "equal": equal}}
for name in (name for name, card in recipes_available().items() if card.trains):
    recipe = load_recipe(name)
    settings = settle(recipe, RunConfig(limit=8, steps_per_epoch=2, **KNOBS), SMALL.get(name, {}))
    devices = hardware.configure(settings)
    found[name] = of_setup(prepare(recipe, settings, call(recipe.data, settings.arguments), devices))
print(json.dumps(found))
