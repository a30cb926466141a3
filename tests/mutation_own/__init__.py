"""Faults planted in the project's own code: `make test` has to find every one."""
