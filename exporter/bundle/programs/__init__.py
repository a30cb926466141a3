"""Programs that run a bundle, for its README."""
