"""How a training step is computed faster than Keras does it; off by one flag."""
