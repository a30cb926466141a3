"""An ONNX file written tensor by tensor is the file that ONNX itself would write, but for the order."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from rnn_export import InternalError
from rnn_export.onnx_file import write_onnx, write_weights_last


def model(*sizes: int) -> ir.Model:
    """A chain of MatMul by matrices [n, n + 1]; small and large, of more than a varint's seven bits."""
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["N", sizes[0]]))
    value, tape = x, ir.tape.Tape()
    for i, (rows, columns) in enumerate(pairwise(sizes)):
        array = np.random.default_rng(i).standard_normal((rows, columns)).astype(np.float32)
        value = tape.op("MatMul", [value, tape.initializer(ir.tensor(array, name=f"W{i}"), name=f"W{i}")])
    value.name, value.type, value.shape = "y", x.type, ir.Shape(["N", sizes[-1]])
    graph = ir.Graph([x], [value], nodes=tape.nodes, initializers=tape.initializers, opset_imports={"": 18}, name="g")
    return ir.Model(graph, ir_version=9)


def by_name(proto: onnx.ModelProto) -> dict[str, bytes]:
    return {tensor.name: tensor.SerializeToString(deterministic=True) for tensor in proto.graph.initializer}


@pytest.mark.parametrize("sizes", [(3, 4), (3, 300, 5), (300, 300, 300), (2000, 1100, 3)])
def test_the_file_is_what_onnx_writes(sizes: tuple[int, ...], tmp_path: Path) -> None:
    built = model(*sizes)
    write_onnx(built, tmp_path / "ours.onnx")
    ours, theirs = onnx.load(tmp_path / "ours.onnx"), ir.to_proto(built)
    assert by_name(ours) == by_name(theirs)
    for proto in (ours, theirs):
        del proto.graph.initializer[:], proto.graph.value_info[:]
    assert ours == theirs
    # Written again by protobuf it has as many bytes: every length is the shortest that says it.
    assert onnx.load(tmp_path / "ours.onnx").ByteSize() == (tmp_path / "ours.onnx").stat().st_size


def test_a_model_without_large_weights(tmp_path: Path) -> None:
    write_weights_last(ir.to_proto(model(2, 3)), {}, tmp_path / "m.onnx")
    assert onnx.load(tmp_path / "m.onnx").SerializeToString() == ir.to_proto(model(2, 3)).SerializeToString()


def test_a_weight_is_called_what_the_graph_calls_it(tmp_path: Path) -> None:
    """Folding a normalisation into a convolution leaves a tensor with a name of its own."""
    built = model(3, 2000)
    built.graph.initializers["W0"].const_value.name = "folded"
    write_onnx(built, tmp_path / "m.onnx")
    assert [tensor.name for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer] == ["W0"]
    onnx.checker.check_model(tmp_path / "m.onnx", full_check=True)


def test_an_invalid_graph_is_a_bug_of_ours(tmp_path: Path) -> None:
    built = model(3, 4)
    built.graph.outputs[0].shape = ir.Shape(["N", 5])
    with pytest.raises(
        InternalError, match="not valid ONNX .* This is a bug in rnn-export: report it, with the model.$"
    ):
        write_onnx(built, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
