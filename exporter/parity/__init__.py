"""Verify that an exported file is as accurate as PyTorch, and diagnose where it is not."""
