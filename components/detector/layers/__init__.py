"""Layers and tensor operations that several networks are made of."""
