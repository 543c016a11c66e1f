"""Classifiers of boxes that scikit-learn fits to kept features: which boxes, and the fit."""
