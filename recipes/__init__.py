"""One module per model of the document. Importing this imports none of them."""

import sys

# `python -m keraskit.recipes.mlp` runs this before the recipe's `import keras`: then, and only then, we are a program
# that may keep TensorFlow's start-up chatter off its user's screen. (While -m looks for its module, argv[0] is "-m".)
if sys.argv[:1] == ["-m"]:
    from keraskit import startup

    startup.hush()
