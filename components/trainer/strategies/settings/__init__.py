"""The ``transfer`` section of the config, a file a strategy. Nothing here imports TensorFlow or TFX."""
