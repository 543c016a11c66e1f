"""From a great many images to one file of detections, by Beam: what `serving.bulk` runs."""
