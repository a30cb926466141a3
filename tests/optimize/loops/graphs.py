"""Loops written as ONNX text, and running them before and after the passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx.parser
import onnx.reference
import onnx.shape_inference
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnx_ir.passes.common import LiftConstantsToInitializersPass, LiftSubgraphInitializersToMainGraphPass, NameFixPass
from rnn_export import Signature
from rnn_export.optimize.loops.pipeline import fuse_loops, optimize_loops

Array = NDArray[np.generic]


def parse(text: str, weights: Mapping[str, Array] = {}) -> ir.Model:
    """A model at opset 18 from the text of its graph; `weights` become initializers."""
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> {text}')
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in weights.items())
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True))
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    LiftSubgraphInitializersToMainGraphPass()(model)
    return model


def optimized(model: ir.Model, signature: Signature | None = None) -> ir.Model:
    after = model.clone()
    optimize_loops(after, signature or Signature({str(value.name): "float32[N]" for value in after.graph.inputs}))
    fuse_loops(after)
    NameFixPass()(after)
    onnx.checker.check_model(ir.to_proto(after), full_check=True)
    return after


def run(model: ir.Model, inputs: Mapping[str, Array]) -> Sequence[Array]:
    """What ONNX Runtime computes, which the reference evaluator must confirm where it can run the loops."""
    proto = ir.to_proto(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    results: Sequence[Array] = session.run(None, dict(inputs))
    if not any(_is_unusual(node) for node in ir.traversal.RecursiveGraphIterator(model.graph)):
        with np.errstate(all="ignore"):
            expected = onnx.reference.ReferenceEvaluator(proto).run(None, dict(inputs))
        for one, other in zip(results, expected, strict=True):
            check_close(one, other)
    return results


def _is_unusual(node: ir.Node) -> bool:
    """Whether a Scan has another axis or direction than the first: onnx 1.23's evaluator raises."""
    names = ("scan_input_directions", "scan_output_directions", "scan_input_axes", "scan_output_axes")
    return any(any(node.attributes.get_ints(name, None) or []) for name in names)


def check_close(one: Array, other: Array) -> None:
    """Within rounding."""
    assert one.shape == other.shape
    assert one.dtype == other.dtype
    np.testing.assert_allclose(one, other, *((1e-11, 1e-11) if one.dtype == np.float64 else (2e-5, 2e-6)))


def check_same(model: ir.Model, inputs: Mapping[str, Array], signature: Signature | None = None) -> ir.Model:
    """Compare results before and after the passes, and return the optimized graph."""
    after = optimized(model, signature)
    for one, other in zip(run(model, inputs), run(after, inputs), strict=True):
        check_close(one, other)
    return after


def bodies(model: ir.Model) -> list[ir.Graph]:
    nodes = ir.traversal.RecursiveGraphIterator(model.graph)
    return [node.attributes["body"].as_graph() for node in nodes if node.op_type == "Scan"]


def kinds(graph: ir.Graph) -> list[str]:
    """The operators of a graph, without those of the bodies in it."""
    return [node.op_type for node in graph]
