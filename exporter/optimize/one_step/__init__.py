"""The second form of a stream's graph: one time step, without a loop and without the time axis."""
