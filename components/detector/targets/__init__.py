"""What a detector is taught: anchors, box arithmetic, matching, sampling and losses."""
