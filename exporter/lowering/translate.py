"""From an `ExportedProgram` to ONNX IR in which recurrent operators are still whole, as nodes of a domain of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from traceback import walk_tb
from typing import Any

import onnx_ir as ir
import torch
from onnx.defs import OpSchema
from onnxscript.values import Op, Opset
from torch.export import ExportedProgram
from torch.fx import Node

from ..capture.operators import DOMAIN
from ..errors import CaptureError, first_line
from ..quiet import quiet
from ..source_lines import at, node_line

# The opset that PyTorch's own translations are written in; another one is converted to at the end.
OPSET = 18


def translate(program: ExportedProgram) -> ir.Model:
    """Translate to ONNX IR at opset 18 with `rnn_export::recurrent` and `rnn_export::lstm` nodes.

    Their inputs are x, those initial states that attribute `given` names, and PyTorch's flat weights.

    Raises:
        CaptureError: an operator of the model has no ONNX translation.
    """
    try:
        with quiet(), torch.no_grad():
            exported = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                optimize=False,
                verbose=False,
                custom_translation_table=_TABLE,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        cause = _innermost(error)
        raise CaptureError(
            f"The model uses an operation that has no ONNX form{at(_line(error))} ({first_line(cause)}). "
            "Replace it in forward."
        ) from error
    if exported is None:
        raise CaptureError("torch.onnx.export returned nothing. Report this, with the model.")
    return exported.model


def _line(error: BaseException | None) -> str:
    """The user's line that the node comes from which PyTorch was translating when it failed."""
    line = ""
    while error is not None:
        nodes = [frame.f_locals.get("node") for frame, _ in walk_tb(error.__traceback__)]
        line = next((node_line(node) for node in nodes if isinstance(node, Node)), line)
        error = error.__cause__
    return line


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


# PyTorch's recorder misplaces the inputs of an operator that has both optional and variadic ones, so a node has
# variadic inputs alone, (x, *states, *weights), and says in `given` which states are among them.
_INT, _STRING = OpSchema.AttrType.INT, OpSchema.AttrType.STRING
_ATTRIBUTES = {"kind": _STRING, "given": _STRING, "has_bias": _INT, "num_layers": _INT, "bidirectional": _INT}


def _operator(name: str, outputs: Sequence[str]) -> Op:
    schema = OpSchema(
        name,
        DOMAIN,
        1,
        inputs=[OpSchema.FormalParameter("inputs", "T", param_option=OpSchema.FormalParameterOption.Variadic)],
        outputs=[OpSchema.FormalParameter(output, "T") for output in outputs],
        type_constraints=[("T", ["tensor(float)", "tensor(float16)", "tensor(double)"], "")],
        attributes=[OpSchema.Attribute(key, kind, "") for key, kind in _ATTRIBUTES.items()],
    )
    return Op(Opset(DOMAIN, 1), name, schema)


_RECURRENT = _operator("recurrent", ["y", "h_n"])
_LSTM = _operator("lstm", ["y", "h_n", "c_n"])


def _record(operator: Op, kind: str, x: Any, states: dict[str, Any], weights: Sequence[Any], *sizes: int) -> Any:
    given = {name: state for name, state in states.items() if state is not None}
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


def _recurrent(kind: str, x: Any, h0: Any, weights: Sequence[Any], *sizes: int) -> Any:
    return _record(_RECURRENT, kind, x, {"h0": h0}, weights, *sizes)


def _lstm(x: Any, h0: Any, c0: Any, weights: Sequence[Any], *sizes: int) -> Any:
    return _record(_LSTM, "lstm", x, {"h0": h0, "c0": c0}, weights, *sizes)


_TABLE: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.rnn_export.recurrent.default: _recurrent,
    torch.ops.rnn_export.lstm.default: _lstm,
}
