"""A character model, from a text to a bundle that writes in Python, Node and the browser."""
