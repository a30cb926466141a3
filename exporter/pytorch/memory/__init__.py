"""What a model writes to its own buffers and attributes from call to call: found, and made inputs and outputs."""
