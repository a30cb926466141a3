"""From `ExportedProgram` to ONNX."""
