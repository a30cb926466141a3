"""Capture loops and decisions as such: the source of the model is rewritten, and a step has a symbolic number."""
