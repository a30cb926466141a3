"""Where a file that failed goes wrong: the smallest case, and the first layer, step and element."""
