"""The picture of a graph: whose boxes it has, and that they lie in reading order within the frame."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import onnx
from onnx import TensorProto, helper
from planting import write_bundle
from rnn_export.publish.graph_picture import Picture, draw_graph


def _chain(path: Path, length: int) -> Path:
    nodes = [helper.make_node("Tanh", [f"v{k}"], [f"v{k + 1}"]) for k in range(length)]
    ends = [helper.make_tensor_value_info(f"v{k}", TensorProto.FLOAT, ["T", 3]) for k in (0, length)]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


def _overlapping(picture: Picture) -> bool:
    places = sorted((box.y, box.x) for box in picture.boxes)
    return any(y == next_y and next_x - x < picture.width for (y, x), (next_y, next_x) in pairwise(places))


def test_inputs_operators_and_outputs_have_boxes(tmp_path: Path) -> None:
    picture = draw_graph(write_bundle(tmp_path / "out", "hetero") / "model.onnx")
    assert picture is not None
    assert [box.label for box in picture.boxes].count("Scan") == 3
    assert [(box.label, box.style) for box in (picture.boxes[0], picture.boxes[-1])] == [
        ("x", "input"),
        ("logits", "output"),
    ]
    assert picture.boxes[0].title == "input x [T, N, 3]"
    assert not _overlapping(picture)


def test_a_long_chain_goes_on_in_the_next_band(tmp_path: Path) -> None:
    short, long = draw_graph(_chain(tmp_path / "a.onnx", 2)), draw_graph(_chain(tmp_path / "b.onnx", 30))
    assert short is not None
    assert long is not None
    assert len({box.y for box in short.boxes}) == 1
    assert len({box.y for box in long.boxes}) == 5
    assert max(box.x for box in long.boxes) + long.width == long.canvas[0]
    order = sorted(long.boxes, key=lambda box: (box.y, box.x))
    assert order == long.boxes
    assert len(long.lines) == 31
    ends = [[int(number) for number in re.findall(r"-?\d+", line)] for line in long.lines]
    assert all(min(numbers) >= -12 for numbers in ends)


def test_a_graph_too_large_for_a_picture(tmp_path: Path) -> None:
    assert draw_graph(_chain(tmp_path / "a.onnx", 121)) is None
