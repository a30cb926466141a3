"""Faults planted in exported models, each of which the verifier has to find."""
