"""ONNX Runtime on its CPU execution provider."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto

from ..errors import BundleError, UnavailableError, first_line
from ..onnx_file import all_nodes, read_onnx

Array = NDArray[np.generic]

_FATAL = 4
_WHOLE = (TensorProto.INT32, TensorProto.INT64)

# Kernels of ONNX Runtime's CPU provider that treat NaN otherwise than PyTorch: found by the parity run on 1.32, and
# kept true by a test. The recurrent ones clamp it to a number inside, the others pass over it. Its RNN with tanh, and
# what Scan and Loop bodies are made of, pass NaN on.
_HIDES_NAN = ("GRU", "LSTM", "RNN with Relu", "ReduceMax", "ReduceMin", "ArgMax", "ArgMin", "MaxPool")
# These quantize a whole batch by one scale, which a single NaN or infinity spoils.
_SPREADS_NAN = ("DynamicQuantizeLSTM", "DynamicQuantizeLinear")


class OnnxRuntimeSession:
    """A session on given execution providers."""

    def __init__(self, artifact: Path, providers: list[str]) -> None:
        kinds = operator_kinds(artifact)
        options = ort.SessionOptions()
        # What goes wrong is raised as well, and said once; the log would say it again for every case.
        options.log_severity_level = _FATAL
        # Threads that spin while they wait starve PyTorch's, which run in turn with these.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._run_options = ort.RunOptions()
        self._run_options.log_severity_level = _FATAL
        try:
            self._session = ort.InferenceSession(str(artifact), options, providers=providers)
        except Exception as error:  # onnxruntime raises classes of its own that have no common base
            if "NOT_IMPLEMENTED" in str(error):
                raise _no_kernel(artifact, _not_implemented(str(error))) from error
            raise BundleError(f"ONNX Runtime cannot load {artifact} ({first_line(error)}). Export it again.") from error
        self._artifact = artifact
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._hides_nan = next((kind for kind in (*_SPREADS_NAN, *_HIDES_NAN) if kind in kinds), "")

    @property
    def hides_nan(self) -> str:
        return self._hides_nan

    @property
    def spreads_nan(self) -> bool:
        return self._hides_nan in _SPREADS_NAN

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            arrays = self._session.run(self._outputs, dict(inputs), self._run_options)
        except Exception as error:  # onnxruntime raises classes of its own that have no common base
            if "does not support double" in str(error):
                raise _no_kernel(self._artifact, str(error).partition("Status Message: ")[2].rstrip(". ")) from error
            raise
        return dict(zip(self._outputs, arrays, strict=True))

    def placement(self) -> tuple[str, ...]:
        return tuple(self._session.get_providers())


def open_onnxruntime_cpu(artifact: Path, outputs: tuple[str, ...]) -> OnnxRuntimeSession:
    """Open an ONNX file on the CPU provider; `outputs` is not needed, the file has names."""
    return OnnxRuntimeSession(artifact, ["CPUExecutionProvider"])


def operator_kinds(artifact: Path) -> set[str]:
    """The operators in a file, those in loop bodies too; "RNN with Relu" and "RNN with Tanh" are told apart.

    What is done to whole numbers, such as the largest of the lengths, is left out where it meets no NaN.
    """
    graph = read_onnx(artifact, weights=False).graph
    whole = {value.name for value in (*graph.input, *graph.value_info) if value.type.tensor_type.elem_type in _WHOLE}
    kinds = set()
    for node in all_nodes(graph):
        if node.op_type in _HIDES_NAN and node.input[0] in whole:
            continue
        activations = [
            text.decode()
            for attribute in node.attribute
            if attribute.name == "activations"
            for text in attribute.strings
        ]
        kinds.add(f"RNN with {activations[0] if activations else 'Tanh'}" if node.op_type == "RNN" else node.op_type)
    return kinds


def _no_kernel(artifact: Path, what: str) -> UnavailableError:
    return UnavailableError(
        f"ONNX Runtime has no CPU kernel for {artifact.name} ({what}). "
        "Export a float32 model, or write it for another runtime with --no-verify."
    )


def _not_implemented(text: str) -> str:
    """The part of the message that names the operator."""
    return text.partition("for ")[2].partition("node")[0].strip() or first_line(RuntimeError(text))
