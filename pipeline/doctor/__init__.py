"""A look at a data folder before the first run, in seconds and without TensorFlow."""
