"""The command line: parses, calls the Python API, prints."""
