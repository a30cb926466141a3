"""Every use of PyTorch's private parts, and the lock under which some of them are replaced.

PyTorch may change these in any release. No other module names them, and `tests/torch_internals` checks for each that it
exists and does what is relied upon.
"""
