"""From `nn.Module` to `ExportedProgram`, with recurrence whole and named sizes symbolic."""
