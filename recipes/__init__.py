"""One module per model of the document. Importing this imports none of them."""
