"""Keras models: the pretrained applications, files of weights, initial weights, graphs."""
