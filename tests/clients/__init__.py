"""Programs in other languages that run a bundle: `make test-clients` builds them first."""
