"""One module per model of the tutorial, two beyond it, two that train nothing. Importing this imports none of them."""
