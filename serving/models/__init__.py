"""Loaded models: which versions are in memory, which ought to be, and which one a request means."""
