"""One list of models drives one test: recipes against the document's tables, docstrings, registry."""

import html
import inspect
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import ROOT, shared
from tables import CNN_AS_PRINTED, CNN_AS_PRINTED_TOTAL, LAYERS, TOTALS

from keraskit.recipe import call, options_of
from keraskit.registry import find_card, load_recipe, recipes_available
from keraskit.training import acceleration

TRAINED = sorted(TOTALS)


def rows(model):
    """What `tables` holds, read off a live model. The order of branches is Keras's own affair."""
    return [(layer.name, tuple(layer.output.shape[1:]), layer.count_params()) for layer in model.layers]


@pytest.mark.parametrize("name", TRAINED)
def test_layers_shapes_and_parameters_are_the_documents(name):
    model = load_recipe(name).build()
    assert sorted(rows(model)) == sorted(LAYERS[name])
    assert model.count_params() == TOTALS[name] == sum(count for *_, count in LAYERS[name])
    assert not model.compiled


def test_the_summary_of_a_run_does_not_count_the_optimizer(tiny_run):
    text = (tiny_run.folder / "summary.txt").read_text()
    assert tiny_run.model.optimizer.built and "Optimizer" not in text
    assert f"Total params: {TOTALS['mlp']:,} " in text
    for name, shape, count in LAYERS["mlp"]:
        assert re.search(rf"│ {name} .*│ \(None, {shape[0]}\) +│ +{count:,} │", text)
    assert f'<pre tabindex="0">{text}</pre>' in html.unescape((tiny_run.folder / "report.html").read_text())


def test_cnn_as_printed_is_the_documents_graph():
    model = load_recipe("cnn").build(as_printed=True)
    assert rows(model) == CNN_AS_PRINTED
    assert model.count_params() == CNN_AS_PRINTED_TOTAL


def test_a_permuting_lstm_is_the_plain_one_on_permuted_steps():
    build, rows = load_recipe("lstm").build, np.random.default_rng(1).random((4, 28, 28), np.float32)
    plain, permuting = build(timesteps=28), build(timesteps=28, permute=True)
    plain.set_weights(permuting.get_weights())
    order = np.random.default_rng(0).permutation(28)
    np.testing.assert_array_equal(permuting(rows), plain(rows[:, order]))
    assert not np.allclose(permuting(rows), plain(rows))
    permuting.compile(loss="sparse_categorical_crossentropy")
    assert acceleration.hindrance(permuting) == ""


@pytest.mark.parametrize("name", TRAINED)
def test_the_docstring_says_what_the_recipe_declares(name):
    card, recipe = find_card(name), load_recipe(name)
    about = card.doc.partition("\n")[0]
    assert f"; {TOTALS[name]:,} parameters)." in about and ("beyond the tutorial" in about) == (not recipe.section)
    assert all(number in about for number in recipe.section.split(", "))
    for metric, value in recipe.expected.items():
        promised = f"{metric.replace('_', ' ')} {value}"
        assert promised in " ".join(card.doc.split()), "the docstring promises another figure"
    assert f"    python -m keraskit.recipes.{name}" in card.doc


def test_every_section_that_is_named_is_a_heading_of_the_document():
    headings = re.findall(r"^#+ \**(\d(?:\.\d+)*)", shared("../document.md").read_text(), re.M)
    assert {"1", "3.3.2", "6.7"} <= set(headings) and "6.8" not in headings
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md"), *(ROOT / "benchmarks").glob("*.py")]
    texts = [path.read_text() for path in [*pages, *(card.source for card in recipes_available().values())]]
    named = re.findall(r"[Ss]ections? (\d[\d.]*)(?:(?:,| and) (\d[\d.]*))?", "\n".join(texts))
    numbers = {number.rstrip(".") for found in named for number in found if number}
    assert len(numbers) > 10 and numbers <= set(headings)


SIGNATURES = """
import sys
from keraskit.registry import recipes_available
from keraskit.recipe import options_of
for name, card in recipes_available().items():
    functions = getattr(card.recipe, "functions", {"run": card.recipe})
    options = options_of(functions).model_fields
    print(name, *functions, *(f"{each}={field.default!r}" for each, field in options.items()))
assert not {"keras", "tensorflow"} & set(sys.modules)
"""


def test_signatures_are_read_without_keras_and_are_the_real_ones():
    done = subprocess.run([sys.executable, "-c", SIGNATURES], capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    for line, name in zip(done.stdout.splitlines(), recipes_available(), strict=True):
        functions = getattr(load_recipe(name), "functions", {"run": load_recipe(name)})
        options = options_of(functions).model_fields
        fields = [f"{each}={field.default!r}" for each, field in options.items()]
        assert line == " ".join([name, *functions, *fields])


@pytest.mark.parametrize("steps", [1, 2, 10, 400])
@pytest.mark.parametrize("name", TRAINED)
def test_the_learning_rate_falls_to_zero_after_the_last_step_and_is_never_lost_before(name, steps):
    """A schedule that ends earlier loses the last step; one that rises from zero the first."""
    inputs = keras.Input((1,))
    recipe = load_recipe(name)
    outputs = {each: keras.layers.Dense(1, name=each)(inputs) for each in ("output1", "output2")}
    model = keras.Model(inputs, outputs if recipe.class_output else outputs["output1"])
    call(recipe.compile, {}, model=model, steps=steps, batch_size=recipe.batch_size)
    rate = model.optimizer.get_config()["learning_rate"]
    if not isinstance(rate, dict):
        assert "steps" not in inspect.signature(recipe.compile).parameters
        return
    highest = inspect.signature(recipe.compile).parameters["learning_rate"].default
    rate = keras.optimizers.schedules.deserialize(rate)
    rates = [float(rate(step)) for step in range(steps)]
    assert max(rates) == pytest.approx(highest) and min(rates) > 0
    assert float(rate(steps)) == pytest.approx(0, abs=1e-6 * highest)
