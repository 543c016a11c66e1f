"""Feature extractors, with the names and ImageNet weights of the published networks."""
