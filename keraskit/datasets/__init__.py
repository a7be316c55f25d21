"""Where examples come from. Each module here has loaders: given the run's knobs, they return Splits."""
