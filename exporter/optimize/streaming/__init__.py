"""Make a state of everything that a causal graph remembers: windows, shifts, running sums and positions."""
