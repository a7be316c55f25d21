"""A mistake in a file of one's own: its line, what is wrong, and a hint where one is sure; and a code other than 0."""

import pytest
from conftest import command

pytestmark = pytest.mark.usefixtures("undrawn", "uncompiled")  # neither is looked at here
FILE = '''"""Four classes of little pictures."""
import keras
import numpy as np
from keras import layers
from keraskit import Recipe, from_arrays

x = np.random.default_rng(0).normal(size=(120, 8, 8, 1)).astype("float32")
y = np.arange(120) % 4
data = from_arrays(x[:80], y[:80], x[80:], y[80:])
INV = keras.ops.linalg.inv

def build(units: int = 8):
    inputs = keras.Input((8, 8, 1))
    hidden = layers.Flatten()(inputs)
    hidden = layers.Dense(units, activation="relu")(hidden)
    outputs = layers.Dense(4, activation="softmax")(hidden)
    return keras.Model(inputs, outputs)

def compile_model(model):
    model.compile(keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"])

class Watches(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["loss"]

def callbacks():
    return [Watches()]

def figure(classes, targets, predictions):
    return predictions[:1], ["one"]

recipe = Recipe(build=build, compile=compile_model, data=data, epochs=1, batch_size=16, callbacks=callbacks)
'''
MISTAKES = {  # what stands in the file, what is written instead, and what is said beside that line
    "attribute": ("layers.Dense(4", "layers.Dens(4", "has no attribute 'Dens'", "Did you mean Dense?"),
    "import": ("keras import layers", "keras.layers import Desne", "import name 'Desne'", "Did you mean Dense?"),
    "operation": (")(inputs)", ")(layers.Lambda(lambda v: INV(0 * v[..., 0]))(inputs))", "Input is not invertible", ""),
    "name": ("Model(inputs, ", "Model(inputz, ", "NameError: name 'inputz'", "Did you mean inputs?"),
    "module": ("import numpy as np", "import numpi as np", "No module named 'numpi'", ""),
    "lr": ("Adam(0.01)", "Adam(lr=0.01)", "not recognized: {'lr'", "learning_rate"),
    "ending": ("[Watches()]", '[keras.callbacks.ModelCheckpoint("best.hdf5")]', "must end in `.keras`", ".weights.h5"),
    "syntax": ("units: int = 8):", "units: int = 8:", "invalid syntax", ""),
    "callback": ('logs["loss"]', 'logs["los"]', "KeyError: 'los'", "error.txt"),
    "exit": ("x = np.random", "raise SystemExit\nx = np.random", "ends the program", ""),
    "exit later": ("inputs = keras.Input", "raise SystemExit\n    inputs = keras.Input", "ends the program", ""),
    "layer": ("hidden = layers.Flatten()", "hidden = layers.Reshape((7, 7))", "cannot be built", ""),
    "own lr": ("Adam(0.01)", "Adam({}['lr'])", "KeyError: 'lr'", "KERASKIT_DEBUG"),
    "evaluated": ("Adam(0.01)", "Adam(eval('1 +'))", "SyntaxError: invalid syntax", ""),
    "argument": ("epochs=1", "epoch=1", "unexpected keyword argument 'epoch'", "Did you mean epochs?"),
    "array": ("y[80:])", "y[80:], x_val=x, y_val=y)", "unexpected keyword argument 'x_val'", "mean x_validation?"),
    "number": ("layers.Dense(4,", "layers.Dense(4 / 0,", "division by zero", ""),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_line_is_shown_with_a_hint(name, here):
    right, wrong, says, hint = MISTAKES[name]
    text = FILE.replace(right, wrong)
    assert text != FILE
    (here / "mine.py").write_text(text)
    number = next(i for i, line in enumerate(text.splitlines(), 1) if wrong.partition("\n")[0] in line)
    code, _, err = command("run", "./mine.py")
    first, *rest = err.splitlines()
    assert code == 2 and first == f"keraskit: mine.py, line {number}: {text.splitlines()[number - 1].strip()}"
    assert says in rest[0] and hint in err and len(rest) <= 3 and "Traceback" not in err and "\x1b" not in err


REFUSED = {  # what stands in the file, what is written instead, and what is said of it
    "a misspelt loss": ('="sparse_categorical_c', '="sparse_categoricl_c', "Did you mean sparse_categorical_cross"),
    "a misspelt metric": ('"accuracy"', '"accurcy"', "identifier: accurcy. Did you mean accuracy?"),
    "another metric": ('"accuracy"', '"accuracy", "Precision"', "compile_model: the loss or metrics do not take"),
    "another accuracy": ('"accuracy"', '"accuracy", "categorical_accuracy"', "categorical_accuracy would be 0.00 if"),
    "other inputs": ("keras.Input((8, 8, 1))", "keras.Input((8, 9, 1))", "build: the model does not take the inputs"),
    "an index": ("layers.Flatten()(inputs)", "layers.Flatten()(layers.Embedding(2, 2)(inputs))", "has 2 rows, and its"),
    "own layer": ("layers.Flatten", "type('O', (layers.Layer,), {'call': lambda _, x: x.foo})", "no attribute 'foo'"),
    "map": ("data=data", "data=lambda: __import__('tensorflow').data.Dataset.range(3).map(lambda v: v @ v)", "rank 2"),
    "text": ('.astype("float32")', ".astype(str)", "one has text as input, the other numbers. Numbers as text become"),
    "a type": ("units: int = 8", "units: 'Itn' = 8", "mine.py, line 12: build: name 'Itn' is not defined."),
    "a list": ("callbacks=callbacks", "callbacks=[Watches()]", "callbacks= takes a function, and is a list. Name the"),
    "a built model": ("build=build", "build=build()", "build= takes a function, and is a Functional. Name the"),
    "no model": ("    return keras.Model(inputs, outputs)", "", "build returns None, and no model whose"),
    "a fixed batch": ("keras.Input((8, 8, 1))", "keras.Input(batch_shape=(16, 8, 8, 1))", "leave stateful out"),
    "rows": ('"accuracy"', "keras.metrics.Recall(class_id=1)", "recall takes one-hot rows, and the targets are class"),
    "unknown inputs": ("keras.Model(inputs, outputs)", "keras.Sequential([layers.Dense(4)])", "built=False>, and no"),
    "nothing compiled": ("    model.compile(", "    dict(optimizer=", "did not call model.compile"),
    "another name": ("model(model):\n    model", "model(net):\n    net", "compile_model has no argument called model"),
    "no flatten": ("layers.Flatten()(inputs)", "inputs", "one label per example of arrays needs (4,)"),
    "one-hot loss": ("sparse_categorical", "categorical", "Labels as numbers go with sparse losses"),
    "layers in a list": ("keras.Model(inputs, outputs)", "keras.Sequential([keras.Input((8, 9, 1)), layers.Flatten(), "
                         "layers.Dense(4)])", "build: the model does not take the inputs"),
    "a section": ("epochs=1", "section=3, epochs=1", "Recipe: section is 3, expected a text."),
    "no epochs": ("epochs=1", "epochs=0", "Recipe: epochs is 0, expected a whole number from 1."),
    "percent": ("epochs=1", "expected={'test_accuracy': 62}, epochs=1", "expected has test_accuracy 62. Give numbers"),
    "one-hot labels": ("arange(120) % 4", "eye(4, dtype='f4')[np.arange(120) % 4]", "one-hot rows with categorical"),
    "no callbacks": ("return [Watches()]", "return None", "callbacks returns None. Return a list"),
    "a class": ("return [Watches()]", "return [Watches]", "Watches'>]. Return a list of callbacks, such as"),
    "a dataset": ("data=data", "data=lambda: keras.utils.timeseries_dataset_from_array(x, y, 4)", "from_arrays(x_"),
    "no layer": ("batch_size=16", "batch_size=16, class_output='densse'", "'densse' ends none of several"),
    "one output": ("build=build", "build=lambda: keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), "
                   "layers.Dense(4, name='p')]), class_output='p'", "ends none of several outputs, here one"),
    "no features": ("batch_size=16", "batch_size=16, pretrained=__import__('keraskit').Pretrained(load=None, weights="
                    "None, features='densse')", "Nothing can be trained above 'densse': No such layer: densse."),
    "an argument": ("def callbacks():", "def callbacks(model):", "no callbacks: missing a required argument: 'model'"),
    "scaled twice": ("layers.Flatten()(inputs)", "layers.Flatten()(layers.Rescaling(1 / 255)(inputs))", "scaled twice"),
    "softmax twice": ('loss="sparse_categorical_crossentropy"',
                      "loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)", "leave from_logits"),
    "no softmax": (', activation="softmax"', "", "end it in a softmax, or take a loss with from_logits=True"),
    "decay": ("Adam(0.01)", "Adam(0.01, decay=1e-4)", "Argument `decay` is no longer supported"),
    "input_dim": ("layers.Dense(units", "layers.Dense(units, input_dim=64", "Do not pass an `input_shape`/`input_dim`"),
}  # fmt: skip
WARNED = ("another accuracy", "scaled twice", "softmax twice", "no softmax", "decay", "input_dim")


@pytest.mark.parametrize("name", REFUSED)
def test_what_keras_would_find_late_or_never_is_said_before_training(name, here, recwarn):
    right, wrong, says = REFUSED[name]
    assert right in FILE
    (here / "mine.py").write_text(FILE.replace(right, wrong))
    code, out, err = command("run", "./mine.py")
    assert says in err + out.partition("run folder")[0] + " ".join(str(warning.message) for warning in recwarn)
    assert code == (0 if name in WARNED else 2) and (name in WARNED or not (here / "runs").exists())
