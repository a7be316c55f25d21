"""One module per model of the tutorial, and two beyond it. Importing this imports none of them."""
