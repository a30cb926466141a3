"""Run an exported stream step by step, with numpy, msgspec and ONNX Runtime alone."""
