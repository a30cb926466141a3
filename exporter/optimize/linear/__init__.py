"""Recurrences of linear attention as ONNX's operators for them, and causal convolutions."""
