"""Translate an `ExportedProgram` to ONNX IR with recurrent operators whole, as nodes of a domain of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx_ir as ir
import torch
from onnx.defs import OpSchema
from onnx_ir.tensor_adapters import from_torch_dtype
from onnxscript import opset18
from onnxscript.values import Op, Opset
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind

from ..capture.capture import Captured
from ..capture.operators import DOMAIN
from ..errors import CaptureError, InternalError, first_line
from ..pytorch.run import suppress_output
from ..pytorch.source_lines import at, node_line
from ..spec.signature import Signature
from ..torch_internals.collecting_loop import COLLECTING_LOOP
from ..torch_internals.control_flow import WHILE_LOOP, taking_constants
from ..torch_internals.onnx import failed_node, parsing_lazily
from .adaptive_pooling import ADAPTIVE_POOLING
from .complex_pairs.rewriting import complex_as_pairs
from .corrections import CORRECTIONS
from .loops import translate_collecting_loop, translate_while_loop
from .markers import MARKERS
from .ordering import ORDERING
from .pieces import translate_piece
from .promotion import promote_types
from .size_arithmetic import SIZE_ARITHMETIC, divide_down
from .translations import exact_constants, exact_translations

# The opset that PyTorch's own translations are written in; the finished graph is converted to another one.
OPSET = 18


def translate(captured: Captured, signature: Signature) -> ir.Model:
    """Translate to ONNX IR at opset 18; what `lower` has its own forms for are nodes of the domain `rnn_export`.

    The inputs of `recurrent` and `lstm` are x, the optional inputs that attribute `given` names (initial states,
    lengths), and PyTorch's flat weights. PyTorch can translate a program with packed sequences only once.

    Raises:
        CaptureError: an operator of the model has no ONNX translation.
        InternalError: PyTorch returned nothing.
    """
    try:
        with suppress_output(), torch.no_grad():
            program = complex_as_pairs(captured.program)
            promote_types(program)
            divide_down(program)
        with (
            suppress_output(),
            parsing_lazily(),
            exact_constants(),
            exact_translations(program),
            taking_constants(),
            torch.no_grad(),
        ):
            exported = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                optimize=False,
                verbose=False,
                custom_translation_table={**_TABLE, **MARKERS},
            )
    except torch.onnx.errors.OnnxExporterError as error:
        cause, node = _innermost(error), failed_node(error)
        line = "" if node is None else node_line(node)
        raise CaptureError(
            f"The model uses an operation that has no ONNX form{at(line)} ({first_line(cause)}). Replace it in forward."
        ) from error
    if exported is None:
        raise InternalError("torch.onnx.export returned nothing.")
    graph = exported.model.graph
    _cast_outputs(graph, program)
    # The capture has the inputs in the order in which PyTorch flattens forward's arguments.
    inputs = dict(zip(captured.inputs, graph.inputs, strict=True))
    graph.inputs[:] = [inputs[name] for name in signature.inputs]
    return exported.model


def _cast_outputs(graph: ir.Graph, program: ExportedProgram) -> None:
    """Cast each output to its dtype in PyTorch, whose translation leaves a sum of float16 in float32."""
    (results,) = program.graph.output_node().args
    specs = program.graph_signature.output_specs
    outputs = [node for node, spec in zip(results, specs, strict=True) if spec.kind == OutputKind.USER_OUTPUT]
    for i, (value, node) in enumerate(zip(list(graph.outputs), outputs, strict=True)):
        dtype = from_torch_dtype(node.meta["val"].dtype)
        if value.dtype != dtype:
            cast = ir.node("Cast", [value], {"to": dtype.value})
            cast.outputs[0].type, cast.outputs[0].shape = ir.TensorType(dtype), value.shape
            graph.append(cast)
            graph.outputs[i] = cast.outputs[0]


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


_INT, _FLOAT, _STRING = OpSchema.AttrType.INT, OpSchema.AttrType.FLOAT, OpSchema.AttrType.STRING
_STACK_ATTRIBUTES = {"kind": _STRING, "given": _STRING, "has_bias": _INT, "num_layers": _INT, "bidirectional": _INT}

# PyTorch's exporter misplaces the inputs of an operator that has both optional and variadic ones. So a stack has
# variadic inputs only, and attribute `given` names the optional ones among them.
_VARIADIC = OpSchema.FormalParameter(
    "inputs", "T", param_option=OpSchema.FormalParameterOption.Variadic, is_homogeneous=False
)


def _operator(
    name: str, inputs: Sequence[OpSchema.FormalParameter], outputs: Sequence[str], attributes: Mapping[str, Any]
) -> Op:
    schema = OpSchema(
        name,
        DOMAIN,
        1,
        inputs=inputs,
        outputs=[OpSchema.FormalParameter(output, "T") for output in outputs],
        type_constraints=[("T", [f"tensor({dtype})" for dtype in _DTYPES], ""), ("I", ["tensor(int64)"], "")],
        attributes=[OpSchema.Attribute(key, kind, "") for key, kind in attributes.items()],
    )
    return Op(Opset(DOMAIN, 1), name, schema)


_DTYPES = ("float", "float16", "double", "int64", "int32", "bool")
_X, _LENGTHS, _STEPS = (OpSchema.FormalParameter(*pair) for pair in (("x", "T"), ("lengths", "I"), ("steps", "I")))
_RECURRENT = _operator("recurrent", [_VARIADIC], ["y", "h_n"], _STACK_ATTRIBUTES)
_LSTM = _operator("lstm", [_VARIADIC], ["y", "h_n", "c_n"], _STACK_ATTRIBUTES)
_PACK = _operator("pack", [_X, _LENGTHS], ["data", "batch_sizes"], {})
_LOGCUMSUMEXP = _operator("logcumsumexp", [_X], ["y"], {"axis": _INT})
_CUMPROD = _operator("cumprod", [_X], ["y"], {"axis": _INT})
_CUMMAX, _CUMMIN = (_operator(name, [_X], ["y", "place"], {"axis": _INT}) for name in ("cummax", "cummin"))
_SOLVE = _operator(
    "solve_triangular", [_X, OpSchema.FormalParameter("b", "T")], ["y"], {"upper": _INT, "left": _INT, "unit": _INT}
)
_SYSTEM = _operator("solve", [_X, OpSchema.FormalParameter("b", "T")], ["y"], {"left": _INT, "vector": _INT})
_INVERSE = _operator("inverse", [_X], ["y"], {})
_PAD = _operator("pad", [_X, _LENGTHS, _STEPS], ["padded"], {"value": _FLOAT})


def _record(operator: Op, kind: str, x: Any, optional: dict[str, Any], weights: Sequence[Any], *sizes: int) -> Any:
    given = {name: value for name, value in optional.items() if value is not None}
    has_bias, num_layers, bidirectional = map(int, sizes)
    return operator(
        x,
        *given.values(),
        *weights,
        kind=kind,
        given=" ".join(given),
        has_bias=has_bias,
        num_layers=num_layers,
        bidirectional=bidirectional,
    )


def _recurrent(
    kind: str, x: Any, h0: Any, weights: Any, has_bias: int, num_layers: int, bidirectional: int, lengths: Any = None
) -> Any:
    optional = {"h0": h0, "lengths": lengths}
    return _record(_RECURRENT, kind, x, optional, weights, has_bias, num_layers, bidirectional)


def _lstm(
    x: Any, h0: Any, c0: Any, weights: Any, has_bias: int, num_layers: int, bidirectional: int, lengths: Any = None
) -> Any:
    optional = {"h0": h0, "c0": c0, "lengths": lengths}
    return _record(_LSTM, "lstm", x, optional, weights, has_bias, num_layers, bidirectional)


def _pack(x: Any, lengths: Any) -> Any:
    return _PACK(x, lengths)


def _pad(data: Any, lengths: Any, steps: Any, value: float) -> Any:
    return _PAD(data, lengths, steps, value=value)


def _logcumsumexp(x: Any, axis: int) -> Any:
    return _LOGCUMSUMEXP(x, axis=axis)


def _cumprod(x: Any, axis: int, dtype: int = -1) -> Any:
    return _CUMPROD(_cast(x, _result_type(x, dtype)), axis=axis)


def _cumsum(x: Any, axis: int, dtype: int = -1) -> Any:
    """As PyTorch adds: float32 in float64. ONNX Runtime's own was 40 times further off after 2,000 steps."""
    wanted = _result_type(x, dtype)
    if x.shape is not None and x.shape.rank() == 0:
        return opset18.Identity(_cast(x, wanted))
    wide = ir.DataType.DOUBLE if wanted == ir.DataType.FLOAT else wanted
    sums: Any = opset18.CumSum
    return _cast(sums(_cast(x, wide), opset18.Constant(value_int=axis)), wanted, wide)


def _result_type(x: Any, dtype: int) -> ir.DataType:
    """What a cumulative operator gives: the dtype that was asked for, or that of x; of integers int64."""
    return ir.DataType(dtype) if dtype > 0 else x.dtype if x.dtype.is_floating_point() else ir.DataType.INT64


def _cast(x: Any, wanted: ir.DataType, now: ir.DataType | None = None) -> Any:
    return x if wanted == (now or x.dtype) else opset18.Cast(x, to=wanted.value)


def _cummax(x: Any, axis: int) -> Any:
    return _CUMMAX(x, axis=axis)


def _cummin(x: Any, axis: int) -> Any:
    return _CUMMIN(x, axis=axis)


def _solve_triangular(a: Any, b: Any, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    return _SOLVE(a, b, upper=int(upper), left=int(left), unit=int(unitriangular))


def _solve(a: Any, b: Any, left: bool = True) -> Any:
    # As PyTorch tells vectors from matrices: one dimension less, and equal sizes before the last.
    is_vector = b.shape.rank() == 1 or (b.shape.rank() == a.shape.rank() - 1 and b.shape == a.shape[:-1])
    return _SYSTEM(a, b, left=int(left), vector=int(is_vector))


def _inverse(a: Any) -> Any:
    return _INVERSE(a)


_TABLE: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.rnn_export.recurrent.default: _recurrent,
    torch.ops.rnn_export.lstm.default: _lstm,
    torch.ops.rnn_export.pack.default: _pack,
    torch.ops.rnn_export.pad.default: _pad,
    torch.ops.rnn_export.piece.default: translate_piece,
    torch.ops.aten.logcumsumexp.default: _logcumsumexp,
    WHILE_LOOP: translate_while_loop,
    COLLECTING_LOOP: translate_collecting_loop,
    torch.ops.aten.cumprod.default: _cumprod,
    torch.ops.aten.cumsum.default: _cumsum,
    torch.ops.aten.cummax.default: _cummax,
    torch.ops.aten.cummin.default: _cummin,
    torch.ops.aten.linalg_solve_triangular.default: _solve_triangular,
    torch.ops.aten.linalg_solve.default: _solve,
    torch.ops.aten.linalg_inv.default: _inverse,
    torch.ops.aten.inverse.default: _inverse,
    **CORRECTIONS,
    **ADAPTIVE_POOLING,
    **ORDERING,
    **SIZE_ARITHMETIC,
}
