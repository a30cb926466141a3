"""The worked example in the docstring of `capture/control_flow` is what the code computes."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from rnn_export import Signature, export_onnx
from rnn_export.capture import control_flow
from rnn_export.capture.capture import capture
from rnn_export.capture.control_flow import rewriting
from torch import nn
from torch.fx import Node

SIGNATURE = Signature({"x": "float32[T, N, 3]", "h": "float32[N, 2]"})
SAME = ("clone", "movedim")


class Example(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.randn(3, 2))

    def forward(self, x, h):  # type: ignore[no-untyped-def]
        outs = []
        for t in range(x.size(0)):
            h = torch.tanh(x[t] @ self.W + h)
            outs.append(h)
        return torch.stack(outs), h


def documented(text: str) -> bool:
    """Whether the docstring has this text, wherever its lines break."""
    return "".join(text.split()) in "".join((control_flow.__doc__ or "").split())


def test_the_source_is_rewritten_like_this(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = []

    def spying(tree: ast.AST, *args: Any, **options: Any) -> Any:
        sources.append(ast.unparse(tree).replace(rewriting.FLOW, "flow").replace(rewriting._MADE, "forward"))
        return compile(tree, *args, **options)

    monkeypatch.setattr(rewriting, "compile", spying, raising=False)
    rewriting._factory.cache_clear()
    assert rewriting.rewritten(Example.forward, object()) is not None
    (source,) = sources
    start = source.index("def forward")
    assert documented(source[start : source.index("return forward")])


def test_the_flat_graph_has_these_marks() -> None:
    program = capture(Example().eval(), SIGNATURE, {"x": torch.randn(11, 9, 3), "h": torch.randn(9, 2)}).program
    lines = [line(node) for node in program.graph.nodes if is_shown(node)]
    assert documented("\n".join(lines)), "\n".join(lines)


def is_shown(node: Node) -> bool:
    return node.op == "output" or (
        node.op == "call_function" and operation(node) not in (*SAME, "ge", "lt", "_assert_scalar")
    )


def operation(node: Node) -> str:
    return str(getattr(node.target, "__name__", node.target)).partition(".")[0]


def line(node: Node) -> str:
    if node.op == "output":
        return "return " + ", ".join(map(written, node.args[0]))  # type: ignore[arg-type]
    # The last argument of a mark is the number of its loop.
    marks = {"step": 1, "carry": 1, "final": 1, "close": 1, "leave": 1, "collect": 1}
    args = node.args[: len(node.args) - marks.get(operation(node), 0)]
    return f"{written(node)} = {operation(node)}({', '.join(map(written, args))})"


def written(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(written, value))}]"
    if not isinstance(value, Node):
        return str(value)
    if value.op == "call_function" and operation(value) in SAME:
        return written(value.args[0])
    return {"p_w": "W", "sym_size": "size"}.get(
        name := value.name if value.op == "placeholder" else operation(value), name
    )


def test_the_step_has_these_operators(tmp_path: Path) -> None:
    export_onnx(Example(), SIGNATURE, tmp_path / "out")
    model = onnx.load(tmp_path / "out" / "model.onnx")
    (scan,) = (node for node in model.graph.node if node.op_type == "Scan")
    body = next(attribute.g for attribute in scan.attribute if attribute.name == "body")
    operators = [node.op_type for node in body.node if node.op_type != "Identity"]
    assert documented("loop_1(carry, x_0):" + "".join(operators))
    assert len(scan.input) == 2
