"""A page on which a finished model answers, in the browser."""
