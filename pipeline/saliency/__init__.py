"""Which pixels a detection stands on: D-RISE, which asks a detector about images that are hidden in part."""
