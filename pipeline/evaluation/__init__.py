"""A saved detector on annotated images, without a training and without a run."""
