"""Convert a graph from opset 18, which PyTorch translates to, to another. Works in place."""

from __future__ import annotations

import onnx.helper
import onnx_ir as ir
from onnxscript import version_converter

from ..errors import CaptureError, InputError, first_line
from ..pytorch.run import suppress_output

OLDEST = 17

# The newest opset that ONNX Runtime 1.32 loads: 29 is refused.
NEWEST = 28

# What opset 18 added: inputs of reductions, operators, attributes, and values of an attribute (ONNX changelog).
_REDUCTIONS = {"L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare"}
_NEW_IN_18 = {"BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "CenterCropPad", "Col2Im", "Mish"}
_NEW_ATTRIBUTES = {"Split": ("num_outputs",), "Resize": ("antialias", "axes", "keep_aspect_ratio_policy")}
_NEW_REDUCTIONS = {"ScatterElements": ("max", "min"), "ScatterND": ("max", "min")}


def check_opset(opset: int) -> None:
    """Reject an opset that cannot be exported.

    Raises:
        InputError: it is outside `OLDEST` to `NEWEST`.
    """
    if not OLDEST <= opset <= NEWEST:
        raise InputError(f"Opset {opset} is not supported. Use one from {OLDEST} to {NEWEST}; 18 is the default.")


def convert_opset(model: ir.Model, opset: int) -> None:
    """Convert from opset 18 to `opset`.

    Raises:
        CaptureError: an operator of the model does not exist there.
    """
    if opset < 18:
        for node in ir.traversal.RecursiveGraphIterator(model.graph):
            _to_17(node)
        model.opset_imports[""] = opset
    elif opset > 18:
        _upgrade(model, opset)
    model.ir_version = max(8, onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)]))


def _upgrade(model: ir.Model, opset: int) -> None:
    try:
        with suppress_output():
            version_converter.convert_version(model, opset, fallback=True)
    except Exception as error:  # the converter's adapters raise exceptions of any class
        raise _no_form("An operator", opset, f" ({first_line(error)})") from error
    if model.opset_imports[""] != opset:
        raise _no_form("An operator", opset)


def _to_17(node: ir.Node) -> None:
    """Rewrite one node from opset 18 to 17, in place."""
    kind = node.op_type
    if kind.removeprefix("Reduce") in _REDUCTIONS and kind.startswith("Reduce"):
        _axes_to_attribute(node)
    reduction = node.attributes.get_string("reduction", "none")
    has_pad_axes = kind == "Pad" and len(node.inputs) > 3 and node.inputs[3] is not None
    if kind in _NEW_IN_18 or reduction in _NEW_REDUCTIONS.get(kind, ()) or has_pad_axes:
        raise _no_form(kind, 17)
    for name in _NEW_ATTRIBUTES.get(kind, ()):
        node.attributes.pop(name, None)
    if node.domain == "":
        node.version = None


def _axes_to_attribute(node: ir.Node) -> None:
    given = node.inputs[1] if len(node.inputs) > 1 else None
    axes = None if given is None else ir.convenience.get_const_tensor(given)
    if axes is None and given is not None:
        raise _no_form(f"{node.op_type} with computed axes", 17)
    if axes is not None:
        node.attributes["axes"] = ir.AttrInt64s("axes", [int(axis) for axis in axes.numpy()])
    node.resize_inputs(1)
    node.attributes.pop("noop_with_empty_axes", None)


def _no_form(what: str, opset: int, why: str = "") -> CaptureError:
    return CaptureError(f"{what} of the model has no form at opset {opset}{why}. Use opset 18, the default.")
