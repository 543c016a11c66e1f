"""Weights from elsewhere: zoo checkpoints, saved models and pushed versions, and how they fit a detector."""
