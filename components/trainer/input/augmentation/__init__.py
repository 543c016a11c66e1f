"""Random changes to training images, as graph ops; boxes follow.

Whatever is small is drawn for a whole batch at once. All randomness comes from a seed (of the training and the step),
so a result does not depend on which thread came first.
"""
