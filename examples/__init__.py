"""Whole programs that use the package, one folder each."""
