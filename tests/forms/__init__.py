"""Models in every form that a forward takes, each exported as it stands."""
