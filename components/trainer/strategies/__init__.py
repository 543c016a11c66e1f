"""Transfer strategies, one file each: how a detector with start weights is adapted to the new data."""
