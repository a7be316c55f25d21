"""Train a recipe: the runner, and the steps of a run."""
