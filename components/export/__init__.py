"""The trained detector in the forms that others run."""
