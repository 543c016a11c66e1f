"""Runs that are over: where they are kept, which of them is meant, and a line about each."""
