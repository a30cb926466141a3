"""Feeding a model in chunks: its states, single steps with numpy and ONNX Runtime alone, and what they take."""
