"""What can run an exported file, behind one protocol."""
