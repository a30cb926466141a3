"""Programs that run models with a Python package, each in its own process."""
