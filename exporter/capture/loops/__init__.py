"""Reroll Python loops over time into `scan`."""
