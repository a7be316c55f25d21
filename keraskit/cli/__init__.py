"""The command line: parses, calls, prints. Nothing here imports TensorFlow before it must."""
