"""A short set of tests with other versions of Python and PyTorch."""
