"""Runtimes that are Python packages, each in a process of its own."""
