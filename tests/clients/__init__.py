"""Programs in other languages that run a bundle: see the targets `test-clients`, `test-node` and `test-web` of the Makefile."""
