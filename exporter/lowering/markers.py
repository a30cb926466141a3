"""Translate the marks of loops and decisions to ONNX nodes of a domain of our own, which `control_flow` then reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from onnx.defs import OpSchema
from onnxscript.values import Op, Opset

from ..capture.control_flow import operators
from ..capture.control_flow.operators import DOMAIN

_DTYPES = ("float", "float16", "double", "int64", "int32", "int16", "int8", "uint8", "bool")


def _operator(name: str, tensors: Sequence[str], numbers: Sequence[str], attributes: Sequence[str]) -> Op:
    """An operator that takes tensors of any dtype and whole numbers, and gives one tensor of the first one's dtype."""
    inputs = [OpSchema.FormalParameter(tensor, f"T_{tensor}") for tensor in tensors]
    inputs += [OpSchema.FormalParameter(number, "I") for number in numbers]
    kinds = [(f"T_{tensor}", [f"tensor({dtype})" for dtype in _DTYPES], "") for tensor in tensors]
    kinds.append(("I", ["tensor(int64)"], ""))
    schema = OpSchema(
        name,
        DOMAIN,
        1,
        inputs=inputs,
        outputs=[OpSchema.FormalParameter("y", f"T_{tensors[0]}" if tensors else "I")],
        type_constraints=kinds,
        attributes=[OpSchema.Attribute(attribute, OpSchema.AttrType.INT, "") for attribute in attributes],
    )
    return Op(Opset(DOMAIN, 1), name, schema)


_STEP = _operator("step", [], ["count"], ["number"])
_CARRY = _operator("carry", ["initial"], [], ["number"])
_GROW = _operator("carry", ["initial"], [], ["number", "grows"])
_STEPS = _operator("steps", ["begin", "again"], ["count"], ["number"])
_FINAL = _operator("final", ["carried", "after"], [], ["number"])
_LEAVE = _operator("leave", ["final", "end"], [], ["number"])
_COLLECT = _operator("collect", ["y", "end"], [], ["number"])
_CHOOSE = _operator("choose", ["a", "b", "condition"], [], ["number"])

_CLOSE = Op(
    Opset(DOMAIN, 1),
    "close",
    OpSchema(
        "close",
        DOMAIN,
        1,
        inputs=[
            OpSchema.FormalParameter(
                "parts", "T", param_option=OpSchema.FormalParameterOption.Variadic, is_homogeneous=False
            )
        ],
        outputs=[OpSchema.FormalParameter("y", "I")],
        type_constraints=[
            ("T", [f"tensor({dtype})" for dtype in _DTYPES], ""),
            ("I", ["tensor(int64)"], ""),
        ],
        attributes=[OpSchema.Attribute("number", OpSchema.AttrType.INT, "")],
    ),
)


def _step(count: Any, loop: int) -> Any:
    return _STEP(count, number=loop)


def _carry(initial: Any, loop: int) -> Any:
    return _CARRY(initial, number=loop)


def _grow(initial: Any, shape: Any, loop: int) -> Any:
    return _GROW(initial, number=loop, grows=1)


def _grown(carried: Any, after: Any, shape: Any, loop: int) -> Any:
    return _FINAL(carried, after, number=loop)


def _steps(begin: Any, again: Any, count: Any, loop: int) -> Any:
    return _STEPS(begin, again, count, number=loop)


def _final(carried: Any, after: Any, loop: int) -> Any:
    return _FINAL(carried, after, number=loop)


def _close(step: Any, parts: Any, loop: int) -> Any:
    return _CLOSE(step, *parts, number=loop)


def _leave(final: Any, end: Any, loop: int) -> Any:
    return _LEAVE(final, end, number=loop)


def _collect(y: Any, end: Any, count: Any, loop: int) -> Any:
    return _COLLECT(y, end, number=loop)


def _choose(condition: Any, a: Any, b: Any, shape: Any, decision: int) -> Any:
    return _CHOOSE(a, b, condition, number=decision)


MARKERS: dict[Callable[..., Any], Callable[..., Any]] = {
    operators.step: _step,
    operators.carry: _carry,
    operators.grow: _grow,
    operators.grown: _grown,
    operators.steps: _steps,
    operators.final: _final,
    operators.close: _close,
    operators.leave: _leave,
    operators.collect: _collect,
    operators.choose: _choose,
}
