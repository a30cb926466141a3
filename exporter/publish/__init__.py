"""What is made from a finished bundle: report page, JUnit, ONNX tests, Triton model, smaller bundle."""
