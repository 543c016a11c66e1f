"""Detectors out of SavedModels: exports of this pipeline, and those of the TF2 Detection Zoo, behind one interface."""
