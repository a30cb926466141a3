"""Faults around the layers: sizes baked in, batches mixed up, steps shifted, precision lowered, outputs exchanged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto

from .graphs import (
    attribute,
    axis_of,
    before,
    behind,
    constant,
    dims,
    floats,
    given,
    has_huge,
    is_float,
    loosened,
    nodes,
    op,
    set_attribute,
    set_input,
    set_tensor,
    swap_outputs,
    tensor,
)
from .kinds import kind
from .subjects import CAPTURED

Model = onnx.ModelProto


def _ints(model: Model, *numbers: int) -> str:
    return constant(model, np.array(numbers, np.int64))


def _input_over(model: Model, symbol: str) -> tuple[str, int] | None:
    """The first float input with that dimension, and which axis it is."""
    for value in floats(model.graph.input):
        axis = axis_of(value, symbol)
        if axis is not None:
            return value.name, axis
    return None


def _output_over(model: Model, symbol: str) -> tuple[str, int] | None:
    for value in floats(model.graph.output):
        axis = axis_of(value, symbol)
        if axis is not None:
            return value.name, axis
    return None


def _cut(model: Model, symbol: str, end: int) -> Model | None:
    found = _input_over(model, symbol)
    if found is None:
        return None
    name, axis = found
    ends = [_ints(model, number) for number in (0, end, axis)]
    return before(model, name, lambda right, wrong: [op("Slice", [right, *ends], [wrong])])


@kind
def time_baked_in(model: Model) -> Model | None:
    """Steps beyond the captured number are left out."""
    return _cut(model, "T", CAPTURED["T"])


@kind
def long_sequences_cut(model: Model) -> Model | None:
    """Steps beyond the 256th are left out."""
    return _cut(model, "T", 256)


def _wrong_where(model: Model, *condition: onnx.NodeProto) -> Model | None:
    """A tenth is added to the first float output where the nodes make `there` of the number of steps, `steps`."""
    found, output = _input_over(model, "T"), next(iter(floats(model.graph.output)), None)
    if found is None or output is None:
        return None
    tenth = constant(model, np.array([0.1], np.float32))
    name, axis = found
    return behind(
        model,
        output.name,
        lambda right, wrong: [
            op("Shape", [name], ["steps"], start=axis, end=axis + 1),
            *condition,
            op("Cast", ["there"], ["once"], to=TensorProto.FLOAT),
            op("Mul", ["once", tenth], ["added"]),
            op("Add", [right, "added"], [wrong]),
        ],
    )


@kind
def wrong_at_every_seventh_length(model: Model) -> Model | None:
    """A tenth is added to the first output where T is 7k + 3, beyond the lengths of the cases."""
    seven, three, twenty = _ints(model, 7), _ints(model, 3), _ints(model, 20)
    return _wrong_where(
        model,
        op("Mod", ["steps", seven], ["rest"]),
        op("Equal", ["rest", three], ["seventh"]),
        op("Greater", ["steps", twenty], ["long"]),
        op("And", ["seventh", "long"], ["there"]),
    )


@kind
def wrong_beyond_300_steps(model: Model) -> Model | None:
    """A tenth is added to the first output beyond 300 steps."""
    return _wrong_where(model, op("Greater", ["steps", _ints(model, 300)], ["there"]))


@kind
def wrong_at_one_length(model: Model) -> Model | None:
    """A tenth is added to the first output at 411 steps."""
    return _wrong_where(model, op("Equal", ["steps", _ints(model, 411)], ["there"]))


@kind
def batch_baked_in(model: Model) -> Model | None:
    """The input is given the captured number of sequences, whatever it has."""
    found = _input_over(model, "N")
    if found is None:
        return None
    name, axis = found
    value = next(each for each in model.graph.input if each.name == name)
    shape = [CAPTURED["N"] if k == axis else -1 if isinstance(dim, str) else dim for k, dim in enumerate(dims(value))]
    target = _ints(model, *shape)
    return before(model, name, lambda right, wrong: [op("Reshape", [right, target], [wrong])])


@kind
def a_batch_of_one_flattened(model: Model) -> Model | None:
    """A dimension of one is dropped from the output."""
    name = floats(model.graph.output)[0].name
    return behind(model, name, lambda right, wrong: [op("Squeeze", [right], [wrong])])


def _reversed(model: Model, found: tuple[str, int] | None) -> Model | None:
    if found is None:
        return None
    name, axis = found
    parts = [_ints(model, number) for number in (-1, np.iinfo(np.int64).min, axis, -1)]
    return behind(model, name, lambda right, wrong: [op("Slice", [right, *parts], [wrong])])


@kind
def batch_entries_mixed_up(model: Model) -> Model | None:
    """The sequences of a batch come out in reverse order."""
    return _reversed(model, _output_over(model, "N"))


@kind
def steps_in_reverse(model: Model) -> Model | None:
    """The steps of the output come out in reverse order."""
    return _reversed(model, _output_over(model, "T") or _output_over(model, "T*N"))


def _coupled(model: Model, found: tuple[str, int] | None) -> Model | None:
    """A ten-thousandth of the mean over an axis is added to an input."""
    if found is None:
        return None
    name, axis = found
    share, axes = constant(model, np.array(1e-4, np.float32)), _ints(model, axis)

    def between(right: str, wrong: str) -> Sequence[onnx.NodeProto]:
        return [
            op("ReduceMean", [right, axes], ["planted.mean"]),
            op("Mul", ["planted.mean", share], ["planted.share"]),
            op("Add", [right, "planted.share"], [wrong]),
        ]

    return before(model, name, between)


@kind
def batch_entries_coupled(model: Model) -> Model | None:
    """Each sequence's input holds a ten-thousandth of the batch's mean."""
    return _coupled(model, _input_over(model, "N"))


@kind
def steps_coupled(model: Model) -> Model | None:
    """Each step's input holds a ten-thousandth of the mean over time, which a stream cannot know."""
    return _coupled(model, _input_over(model, "T"))


def _through(model: Model, dtype: int) -> Model | None:
    """Every float output by way of another type."""

    def casts(right: str, wrong: str) -> Sequence[onnx.NodeProto]:
        low = f"{wrong}.low"
        return [op("Cast", [right], [low], to=dtype), op("Cast", [low], [wrong], to=TensorProto.FLOAT)]

    for value in floats(model.graph.output):
        behind(model, value.name, casts)
    return model


@kind
def output_in_float16(model: Model) -> Model | None:
    """Outputs are rounded to float16 and back."""
    return _through(model, TensorProto.FLOAT16)


@kind
def output_in_bfloat16(model: Model) -> Model | None:
    """Outputs are rounded to bfloat16 and back."""
    return _through(model, TensorProto.BFLOAT16)


@kind
def input_in_float16(model: Model) -> Model | None:
    """The input is rounded to float16 and back."""
    value = next(iter(floats(model.graph.input)), None)
    if value is None:
        return None
    return before(
        model,
        value.name,
        lambda right, wrong: [
            op("Cast", [right], ["planted.low"], to=TensorProto.FLOAT16),
            op("Cast", ["planted.low"], [wrong], to=TensorProto.FLOAT),
        ],
    )


@kind
def output_dtype(model: Model) -> Model | None:
    """The first float output is float64."""
    value = floats(model.graph.output)[0]
    value.type.tensor_type.elem_type = TensorProto.DOUBLE
    return behind(model, value.name, lambda right, wrong: [op("Cast", [right], [wrong], to=TensorProto.DOUBLE)])


@kind
def integer_dtype(model: Model) -> Model | None:
    """The first integer output is int32."""
    value = next((each for each in model.graph.output if not is_float(each)), None)
    if value is None:
        return None
    value.type.tensor_type.elem_type = TensorProto.INT32
    return behind(model, value.name, lambda right, wrong: [op("Cast", [right], [wrong], to=TensorProto.INT32)])


@kind
def outputs_swapped(model: Model) -> Model | None:
    """The first and the last float output have each other's names."""
    values = floats(model.graph.output)
    if len(values) < 2:
        return None
    return swap_outputs(model, values[0].name, values[-1].name)


@kind
def a_small_number_added(model: Model) -> Model | None:
    """A hundred-thousandth is added to the first output."""
    small = constant(model, np.array(1e-5, np.float32))
    name = floats(model.graph.output)[0].name
    return behind(model, name, lambda right, wrong: [op("Add", [right, small], [wrong])])


@kind
def one_element_off(model: Model) -> Model | None:
    """The last unit of the last float output is a hundred-thousandth too large."""
    value = floats(model.graph.output)[-1]
    width = dims(value)[-1]
    if not isinstance(width, int) or width < 2:
        return None
    factors = np.ones(width, np.float32)
    factors[-1] += np.float32(1e-5)
    factor = constant(model, factors)
    return behind(model, value.name, lambda right, wrong: [op("Mul", [right, factor], [wrong])])


@kind
def large_inputs_clipped(model: Model) -> Model | None:
    """Inputs beyond -20..20 are clipped."""
    value = next(iter(floats(model.graph.input)), None)
    if value is None:
        return None
    low, high = (constant(model, np.array(number, np.float32)) for number in (-20, 20))
    return before(model, value.name, lambda right, wrong: [op("Clip", [right, low, high], [wrong])])


# In a graph with ONNX Runtime's own layers this changes nothing: their kernels make a number of NaN already.
_HIDE_NAN = ("RNN", "GRU", "LSTM", "ArgMax")


@kind
def not_a_number_hidden(model: Model) -> Model | None:
    """NaN in the input is read as zero (not planted where a kernel of ONNX Runtime does so anyway)."""
    value = next(iter(floats(model.graph.input)), None)
    if value is None or nodes(model, *_HIDE_NAN):
        return None
    zero = constant(model, np.array(0, np.float32))
    return before(
        model,
        value.name,
        lambda right, wrong: [
            op("IsNaN", [right], ["planted.nan"]),
            op("Where", ["planted.nan", zero, right], [wrong]),
        ],
    )


@kind
def padding_value(model: Model) -> Model | None:
    """What lies beyond the end of a sequence is -1."""
    lengths = next((value.name for value in model.graph.input if value.name == "lengths"), None)
    value = next((each for each in floats(model.graph.output) if len(dims(each)) == 3), None)
    if lengths is None or value is None or has_huge(model):
        return None  # another filler than zero
    minus, zero = constant(model, np.array(-1, np.float32)), constant(model, np.array(0, np.float32))
    return behind(
        model,
        value.name,
        lambda right, wrong: [
            op("Equal", [right, zero], ["planted.pad"]),
            op("Where", ["planted.pad", minus, right], [wrong]),
        ],
    )


@kind
def axis_of_a_softmax(model: Model) -> Model | None:
    """A softmax is taken over another axis."""
    node = next(iter(nodes(model, "Softmax", "LogSoftmax")), None)
    if node is None:
        return None
    set_attribute(node, "axis", 0)
    return model


@kind
def logarithm_of_a_softmax(model: Model) -> Model | None:
    """LogSoftmax in place of a softmax."""
    node = next(iter(nodes(model, "Softmax")), None)
    if node is None:
        return None
    node.op_type = "LogSoftmax"
    return model


@kind
def epsilon_of_a_norm(model: Model) -> Model | None:
    """The epsilon of a layer norm is 2e-5 instead of 1e-5."""
    node = next(iter(nodes(model, "LayerNormalization")), None)
    if node is None:
        return None
    set_attribute(node, "epsilon", 2e-5)
    return model


@kind
def slope_of_a_leaky_relu(model: Model) -> Model | None:
    """LeakyReLU with a slope of 0.011 instead of 0.01."""
    node = next(iter(nodes(model, "LeakyRelu")), None)
    if node is None:
        return None
    set_attribute(node, "alpha", 0.011)
    return model


@kind
def relu_for_leaky_relu(model: Model) -> Model | None:
    """ReLU in place of LeakyReLU."""
    node = next(iter(nodes(model, "LeakyRelu")), None)
    if node is None:
        return None
    node.op_type = "Relu"
    del node.attribute[:]
    return model


@kind
def smallest_for_largest(model: Model) -> Model | None:
    """ArgMin in place of ArgMax."""
    node = next(iter(nodes(model, "ArgMax")), None)
    if node is None:
        return None
    node.op_type = "ArgMin"
    return model


def _table(model: Model) -> tuple[onnx.NodeProto, np.ndarray] | None:
    """The first look-up of a row by an index that is no constant."""
    for node in nodes(model, "Gather"):
        array = tensor(model, given(node, 0))
        axis = attribute(node, "axis")
        if (
            array is not None
            and array.ndim == 2
            and (axis is None or axis.i == 0)
            and tensor(model, node.input[1]) is None
        ):
            return node, array
    return None


@kind
def row_of_a_table(model: Model) -> Model | None:
    """A table of vectors is read one row further down, the last row as it is."""
    found = _table(model)
    if found is None:
        return None
    node, array = found
    set_input(node, 0, constant(model, np.concatenate([array[1:], array[-1:]])))
    return model


@kind
def padding_row(model: Model) -> Model | None:
    """The row of a table that stands for padding, which is zero, is not."""
    found = _table(model)
    if found is None or found[1][0].any():
        return None
    node, array = found
    changed = array.copy()
    changed[0] = 0.1
    set_tensor(model, node.input[0], changed)
    return model


@kind
def order_of_a_concatenation(model: Model) -> Model | None:
    """What is joined is joined in reverse order."""
    for node in nodes(model, "Concat"):
        if len(set(node.input)) > 1 and not all(tensor(model, name) is not None for name in node.input):
            axis = attribute(node, "axis")
            if axis is not None and _is_float_value(model, node.output[0]):
                kept = list(node.input)
                node.input[:] = kept[::-1]
                return loosened(model)
    return None


def _is_float_value(model: Model, name: str) -> bool:
    """Whether a value is a float tensor, and no shape, by what the exporter noted."""
    known = [*model.graph.value_info, *model.graph.output]
    return any(value.name == name and is_float(value) for value in known)
