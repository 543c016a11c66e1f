"""From backbone features to detections: feature pyramids, predictors, proposals and non-maximum suppression."""
