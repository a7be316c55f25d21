"""One module per model of the document, and two beyond it. Importing this imports none of them."""
