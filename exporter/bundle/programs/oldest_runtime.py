"""The oldest ONNX Runtime that loads a file, by the file's opset and by whose operators it has."""

from __future__ import annotations

from ...spec.artifact import Artifact

# Found by loading a file of each opset, with the IR version that an export gives it, in the last patch of each minor
# release from 1.15 to 1.32: the range of ONNX Runtime's packages for Python 3.11. Its page on compatibility promises
# that whatever a release loads, a newer one does (https://onnxruntime.ai/docs/reference/compatibility.html).
OLDEST_ONNX_RUNTIME = {
    17: "1.15",  # IR 8
    18: "1.15",
    19: "1.15",  # IR 9
    20: "1.17",
    21: "1.18",  # IR 10
    22: "1.21",
    23: "1.23",  # IR 11
    24: "1.24",  # IR 12
    25: "1.24",  # IR 13
    26: "1.25",
    27: "1.32",
    28: "1.32",
}

# LinearAttention and CausalConvWithState of com.microsoft, found in the same way; from there on they compute the same.
_CONTRIB = "1.25"


def oldest_onnx_runtime(artifact: Artifact) -> str | None:
    """Its version; None where it is not known, and for TorchScript."""
    by_opset = OLDEST_ONNX_RUNTIME.get(artifact.opset or 0)
    if by_opset is None or not artifact.is_for_onnx_runtime:
        return by_opset
    return max(by_opset, _CONTRIB, key=lambda version: [*map(int, version.split("."))])
