"""Search for hyper-parameters: TFX's Tuner, whose trials are short trainings of the real kind."""
