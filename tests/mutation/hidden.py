"""Faults of ordinary elements of an output that has huge ones besides: the filler of a mask, or one large column."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto

from .graphs import HUGE, behind, constant, floats, has_huge, op
from .kinds import kind

Model = onnx.ModelProto
# From the name of the right value and the name of a wrong one, the nodes in between.
Wrong = Callable[[str, str], list[onnx.NodeProto]]


def _but_for_huge(model: Model, wrong: Wrong) -> Model | None:
    """Make what is not huge wrong, in the first output."""
    if not has_huge(model):
        return None
    huge = constant(model, np.array(HUGE, np.float32))

    def between(right: str, wrong_name: str) -> list[onnx.NodeProto]:
        return [
            op("Abs", [right], ["planted.size"]),
            op("Greater", ["planted.size", huge], ["planted.huge"]),
            op("Where", ["planted.huge", huge, right], ["planted.small"]),
            *wrong("planted.small", "planted.wrong"),
            op("Where", ["planted.huge", right, "planted.wrong"], [wrong_name]),
        ]

    return behind(model, floats(model.graph.output)[0].name, between)


@kind
def all_but_huge_is_zero(model: Model) -> Model | None:
    """Whatever is not huge is zero."""
    zero = constant(model, np.array(0, np.float32))
    return _but_for_huge(model, lambda right, wrong: [op("Mul", [right, zero], [wrong])])


@kind
def all_but_huge_is_scaled(model: Model) -> Model | None:
    """Whatever is not huge is a ten-thousandth too large."""
    factor = constant(model, np.array(1.0001, np.float32))
    return _but_for_huge(model, lambda right, wrong: [op("Mul", [right, factor], [wrong])])


@kind
def all_but_huge_is_shifted(model: Model) -> Model | None:
    """A hundred-thousandth is added to whatever is not huge."""
    addend = constant(model, np.array(1e-5, np.float32))
    return _but_for_huge(model, lambda right, wrong: [op("Add", [right, addend], [wrong])])


@kind
def all_but_huge_in_float16(model: Model) -> Model | None:
    """Whatever is not huge is rounded to float16."""

    def between(right: str, wrong: str) -> list[onnx.NodeProto]:
        half, whole = TensorProto.FLOAT16, TensorProto.FLOAT
        return [op("Cast", [right], ["planted.half"], to=half), op("Cast", ["planted.half"], [wrong], to=whole)]

    return _but_for_huge(model, between)


@kind
def all_but_huge_rounded(model: Model) -> Model | None:
    """Whatever is not huge is rounded to thousandths."""
    thousand = constant(model, np.array(1000, np.float32))
    return _but_for_huge(
        model,
        lambda right, wrong: [
            op("Mul", [right, thousand], ["planted.large"]),
            op("Round", ["planted.large"], ["planted.whole"]),
            op("Div", ["planted.whole", thousand], [wrong]),
        ],
    )


@kind
def huge_is_another(model: Model) -> Model | None:
    """Whatever is huge is a thousandth smaller."""
    if not has_huge(model):
        return None
    huge, factor = constant(model, np.array(HUGE, np.float32)), constant(model, np.array(0.999, np.float32))
    return behind(
        model,
        floats(model.graph.output)[0].name,
        lambda right, wrong: [
            op("Abs", [right], ["planted.size"]),
            op("Greater", ["planted.size", huge], ["planted.huge"]),
            op("Mul", [right, factor], ["planted.wrong"]),
            op("Where", ["planted.huge", "planted.wrong", right], [wrong]),
        ],
    )
