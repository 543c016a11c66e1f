"""Adapting to images of another domain: what the strategies with a target are made of."""
