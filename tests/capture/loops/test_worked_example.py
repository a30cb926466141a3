"""The worked example in the docstring of `capture/loops` is what the code computes."""

from __future__ import annotations

import inspect
import operator
import textwrap
from itertools import zip_longest
from typing import Any

import pytest
import torch
from rnn_export import Signature
from rnn_export.capture import loops
from rnn_export.capture.decisions import record_decisions
from rnn_export.capture.exporting import export
from rnn_export.capture.loops.alignment import (
    Invariant,
    Local,
    LoopCarried,
    Operand,
    RerolledLoop,
    ScanInput,
    find_loop,
)
from rnn_export.capture.loops.live_out import LiveOut, find_live_out
from rnn_export.capture.loops.reading import read
from rnn_export.capture.loops.repeats import RepeatedSpan, Trace, find_spans
from rnn_export.capture.loops.rerolling import flattened, reroll
from rnn_export.capture.loops.values import Leaf, Op, Pick, Program
from rnn_export.pytorch.run import suppress_output
from torch import Tensor, nn
from torch.fx import Graph, Node

NAMES = {"_tensor_0": "x", "_tensor_1": "h"}


class Example(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.randn(3, 2))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outs = []
        for t in range(x.size(0)):
            h = torch.tanh(x[t] @ self.W + h)
            outs.append(h)
        return torch.stack(outs), h


@pytest.fixture(scope="module")
def model() -> Example:
    return Example().eval()


@pytest.fixture(scope="module")
def programs(model: Example) -> tuple[Program, Program]:
    return captured(model, 3), captured(model, 4)


@pytest.fixture(scope="module")
def traces(programs: tuple[Program, Program]) -> tuple[Trace, Trace]:
    return Trace(programs[0].ops), Trace(programs[1].ops)


@pytest.fixture(scope="module")
def loop(traces: tuple[Trace, Trace]) -> RerolledLoop:
    (span,) = find_spans(traces[0].ops, traces[1].ops)
    assert span == RepeatedSpan((0, 0), period=3, length=9, parts=1)
    return find_loop(*traces, span, 0)


def captured(model: nn.Module, T: int) -> Program:
    signature = Signature({"x": f"float32[{T}, N, 3]", "h": "float32[N, 2]"})
    with record_decisions() as decisions:
        program, _ = export(model, signature, {"x": torch.randn(T, 5, 3), "h": torch.randn(5, 2)}, decisions)
    return read(flattened(program, [0, 1]))


def assert_documented(lines: list[str]) -> None:
    """The lines are a block of the docstring, however deep it is indented."""
    assert textwrap.indent("\n".join(lines), " " * 4) in (loops.__doc__ or "")


def test_the_source() -> None:
    assert_documented(textwrap.dedent(inspect.getsource(Example.forward)).splitlines())


def test_the_captures(programs: tuple[Program, Program]) -> None:
    short, long = map(listing, programs)
    width = max(map(len, short)) + 4
    assert_documented([(a.ljust(width) + b).rstrip() for a, b in zip_longest(short, long, fillvalue="")])


def listing(program: Program) -> list[str]:
    lines = [f"{op.node.name} = {operator_name(op.target)}({shown(op.args)[1:-1].rstrip(',')})" for op in program.ops]
    return [*lines, f"return {shown(program.output)[1:-1]}"]


def operator_name(target: Any) -> str:
    return str(target.overloadpacket).removeprefix("aten.")


def shown(argument: Any) -> str:
    if isinstance(argument, (tuple, list)):
        return f"[{', '.join(map(shown, argument))}]"
    if isinstance(argument, Pick):
        assert argument.dim == 0
        return f"{shown(argument.base)}[{argument.index}]"
    if isinstance(argument, Leaf):
        return NAMES.get(argument.target, argument.target)
    return argument.node.name if isinstance(argument, Op) else repr(argument)


def test_the_alignment(loop: RerolledLoop) -> None:
    rows = zip(loop.ops, loop.args, strict=True)
    assert_documented(
        [f"{i}  {operator_name(op.target):6}  {', '.join(map(described, args))}" for i, (op, args) in enumerate(rows)]
    )
    assert loop.kwargs == ({}, {}, {})


def described(operand: Operand) -> str:
    if isinstance(operand, ScanInput):
        assert (operand.first, operand.short.count, operand.long.count) == (None, 3, 4)
        short = operand.short
        return f"ScanInput({shown(short.base)}, dim={short.dim}, start={short.start}, stride={short.stride})"
    if isinstance(operand, LoopCarried):
        (initial,) = operand.initial
        return f"LoopCarried({operand.position}, initial={shown(initial.short)})"
    if isinstance(operand, Local):
        return f"Local({operand.position})"
    assert isinstance(operand, Invariant)
    return f"Invariant({shown(operand.short)})"


def test_what_is_live_out(programs: tuple[Program, Program], traces: tuple[Trace, Trace], loop: RerolledLoop) -> None:
    assert find_live_out(programs, traces, [loop]) == [LiveOut(stacked=[2], steps_back={2: 0})]


def test_the_scan(programs: tuple[Program, Program]) -> None:
    module = reroll(*programs)
    body, outer = statements(module.get_submodule("loop_0").graph), statements(module.graph)
    inputs = ", ".join(node.name for node in module.get_submodule("loop_0").graph.find_nodes(op="placeholder"))
    assert_documented([f"loop_0({inputs}):", *(f"    {line}" for line in body), "", *outer])


def statements(graph: Graph) -> list[str]:
    lines = []
    for node in graph.nodes:
        if node.op == "output":
            lines.append(f"return {named(node.args[0])[1:-1]}")
        elif node.op == "call_function" and not is_elided(node):
            lines.append(f"{name(node)} = {called(node)}({named(node.args)[1:-1]})")
    return lines


def is_elided(node: Node) -> bool:
    return node.target in (torch.ops.aten.clone.default, operator.getitem)


def called(node: Node) -> str:
    return "scan" if node.target is torch.ops.higher_order.scan else operator_name(node.target)


def name(node: Node) -> str:
    if node.op == "get_attr":
        return str(node.target)
    return NAMES.get(node.name, node.name).removesuffix("_default").removesuffix("_tensor")


def named(argument: Any) -> str:
    if isinstance(argument, (tuple, list)):
        return f"[{', '.join(map(named, argument))}]"
    if not isinstance(argument, Node):
        return repr(argument)
    if argument.target is torch.ops.aten.clone.default:
        return named(argument.args[0])
    if argument.target is operator.getitem:
        return f"{named(argument.args[0])}[{argument.args[1]}]"
    return name(argument)


def test_the_module_is_right_at_another_length(model: Example, programs: tuple[Program, Program]) -> None:
    x, h = torch.randn(9, 4, 3), torch.randn(4, 2)
    with suppress_output(), torch.no_grad():
        torch.testing.assert_close(reroll(*programs)(x, h), model(x, h))
