"""What `inspect` says of files that others made: weights in nodes, and where a layer's state begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from rnn_export import inspect
from torch import nn


def _constant(name: str, *shape: int) -> onnx.NodeProto:
    value = numpy_helper.from_array(np.zeros(shape, np.float32), name)
    return helper.make_node("Constant", [], [name], value=value)


def _file(path: Path, state: list[onnx.NodeProto], first: str, *, branch: bool = False) -> Path:
    """A GRU of 4 units over 3 inputs, whose weights lie in nodes; in a branch of an `If` if so asked."""
    layer = helper.make_node("GRU", ["x", "W", "R", "", "", first], ["y"], hidden_size=4)
    nodes = [_constant("W", 1, 12, 3), _constant("R", 1, 12, 4), *state]
    if branch:
        way = helper.make_graph([layer], "way", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
        nodes.append(helper.make_node("If", ["flag"], ["y"], then_branch=way, else_branch=way))
    else:
        nodes.append(layer)
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["T", "N", 3]),
        helper.make_tensor_value_info("h0", TensorProto.FLOAT, [2, "N", 4]),
        helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["T", 1, "N", 4])]
    model = helper.make_model(helper.make_graph(nodes, "made", inputs, outputs), producer_name="elsewhere")
    onnx.save(model, path)
    return path


_HALF = [helper.make_node("Split", ["h0"], ["first", "second"], num_outputs=2)]
_ZEROS = [
    helper.make_node("Shape", ["h0"], ["size"]),
    helper.make_node("ConstantOfShape", ["size"], ["first"]),
]
_CHOSEN = [
    helper.make_node(
        "If",
        ["flag"],
        ["first"],
        then_branch=helper.make_graph(
            [helper.make_node("Identity", ["h0"], ["a"])],
            "a",
            [],
            [helper.make_tensor_value_info("a", TensorProto.FLOAT, None)],
        ),
        else_branch=helper.make_graph(
            [helper.make_node("Neg", ["h0"], ["b"])],
            "b",
            [],
            [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
        ),
    )
]


@pytest.mark.parametrize(
    ("state", "first", "said"),
    [
        ([], "", "GRU 3 to 4, forward"),
        ([], "h0", "GRU 3 to 4, forward, begins with h0"),
        (_HALF, "first", "GRU 3 to 4, forward, begins with h0"),
        (_ZEROS, "first", "GRU 3 to 4, forward"),
        (_CHOSEN, "first", "GRU 3 to 4, forward"),
    ],
    ids=["none", "input", "half", "zeros", "branches"],
)
def test_a_layer_is_said_with_what_its_state_begins_with(
    tmp_path: Path, state: list[onnx.NodeProto], first: str, said: str
) -> None:
    (found,) = inspect(_file(tmp_path / "model.onnx", state, first))
    assert found.layers == [said]


def test_a_layer_in_a_branch_is_found_with_what_lies_around_it(tmp_path: Path) -> None:
    (found,) = inspect(_file(tmp_path / "model.onnx", _HALF, "first", branch=True))
    assert found.layers == ["GRU 3 to 4, forward, begins with h0"] * 2


def test_weights_in_nodes_are_counted(tmp_path: Path) -> None:
    (found,) = inspect(_file(tmp_path / "model.onnx", [], ""))
    assert (found.parameters, found.weights) == (1 * 12 * 3 + 1 * 12 * 4, {"float32": 84})


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_torchscript_may_be_called_jit(tmp_path: Path) -> None:
    torch.jit.script(nn.Linear(2, 3)).save(str(tmp_path / "model.jit"))
    (found,) = inspect(tmp_path / "model.jit")
    assert found.parameters == 9
