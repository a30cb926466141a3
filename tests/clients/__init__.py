"""Programs in other languages that run a bundle: `make test-clients`, `make test-node`, `make test-web`."""
