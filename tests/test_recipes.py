"""One list of models drives one test: recipes against the document's tables, docstrings, registry."""

import inspect

import pytest
from tables import CNN_AS_PRINTED, LAYERS, TOTALS

from keraskit.registry import find_card, load_recipe, recipes_available

TRAINED = [name for name, card in recipes_available().items() if card.trains]


def rows(model):
    """What `tables` holds, read off a live model. The order of branches is Keras's own affair."""
    return [(layer.name, tuple(layer.output.shape[1:]), layer.count_params()) for layer in model.layers]


@pytest.mark.parametrize("name", LAYERS)
def test_layers_shapes_and_parameters_are_the_documents(name):
    model = load_recipe(name).build()
    assert sorted(rows(model)) == sorted(LAYERS[name])
    assert model.count_params() == TOTALS[name] == sum(count for *_, count in LAYERS[name])
    assert not model.compiled


def test_every_recipe_has_a_table():
    assert set(LAYERS) == set(TOTALS) == set(TRAINED)


def test_cnn_as_printed_is_the_documents_graph():
    model = load_recipe("cnn").build(as_printed=True)
    assert rows(model) == CNN_AS_PRINTED
    assert model.count_params() == 138_122


@pytest.mark.parametrize("name", TRAINED)
def test_card_read_from_source_agrees_with_the_module(name):
    card, recipe = find_card(name), load_recipe(name)
    assert card.parameters == f"{TOTALS[name]:,}"
    assert card.declared["section"] == recipe.section
    assert card.declared.get("expected", {}) == dict(recipe.expected)
    for metric, value in recipe.expected.items():
        assert f"{metric.replace('_', ' ')} {value}" in " ".join(card.doc.split()), (
            "the docstring promises another figure"
        )
    assert f"    python -m keraskit.recipes.{name}" in card.doc


@pytest.mark.parametrize("name", recipes_available())
def test_a_recipe_fits_on_a_screen(name):
    assert len(find_card(name).source.read_text().splitlines()) <= 100


@pytest.mark.parametrize("name", recipes_available())
def test_the_function_read_from_source_has_the_real_ones_signature(name):
    stub, real = find_card(name).function(), load_recipe(name).function
    assert str(inspect.signature(stub)) == str(inspect.signature(real)).partition(" -> ")[0]
    assert inspect.getdoc(stub) == inspect.getdoc(real)
