"""From a recipe and its data to a trained model: the runner, and what it decides on the way."""
