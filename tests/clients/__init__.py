"""Programs that run a bundle without Python: see the targets `test-node` and `test-web` of the Makefile."""
