"""The folder an export writes."""
