"""Records to batches: reading, shuffling, augmentation."""
