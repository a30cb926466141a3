"""Run a part of a graph in ONNX Runtime while the graph is being rewritten, to see what it computes."""

from __future__ import annotations

import re

import onnx_ir as ir
import onnxruntime as ort

from ..errors import UnavailableError

_OPERATOR = re.compile(r"implementation for (\w+)")


def tried_session(model: ir.Model) -> ort.InferenceSession:
    """A session that leaves the graph as it is.

    Raises:
        UnavailableError: ONNX Runtime has no kernel for an operator of it.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return ort.InferenceSession(ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base
        if "NOT_IMPLEMENTED" not in str(error):
            raise
        found = _OPERATOR.search(str(error))
        named = found[1] if found else "an operator of the model"
        raise UnavailableError(
            f"ONNX Runtime has no CPU kernel for {named} in the dtype that the model computes it in, and how a model "
            "streams is seen from a run of it. Export a float32 model."
        ) from error
