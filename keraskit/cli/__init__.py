"""The command line: parse, call, print. TensorFlow is imported only when needed."""
