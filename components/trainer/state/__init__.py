"""What outlives a training that was killed, and what a training says about itself."""
