"""Recurrent models that others wrote, exported as they stand: `make wild`."""
