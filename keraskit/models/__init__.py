"""Keras models: pretrained applications, weight files, initializers, graphs."""
