"""Passes on the ONNX graph, one a file; `pipeline` lists those that every model goes through."""
