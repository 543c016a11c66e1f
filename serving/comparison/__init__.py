"""Two versions of a model on the same images: where their detections differ."""
