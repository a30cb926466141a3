"""Run an exported stream step by step, with numpy and ONNX Runtime alone."""
