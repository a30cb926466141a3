"""Execution providers that need another ONNX Runtime than `make test` has: see the targets `test-*` of the Makefile."""
