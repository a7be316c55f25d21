"""A page that runs a finished model in the browser."""
