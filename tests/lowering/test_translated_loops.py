"""Loops that a value ends: ONNX's Loop, which collects what its steps put out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature, recur_until
from rnn_export.parity.expected import Expected
from rnn_export.pytorch.samples import Case
from rnn_export.torch_internals.collecting_loop import COLLECTING_LOOP
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

CASES = [Case({"T": T, "N": N}, "ordinary", T + N) for T, N in [(1, 1), (5, 3), (2, 6), (9, 2)]]


class Decoder(nn.Module):
    """Greedy decoding until every sequence has ended, or at a limit."""

    def __init__(self, limit: int | None = 12) -> None:
        super().__init__()
        self.encoder, self.cell = nn.GRU(4, 5), nn.GRUCell(3, 5)
        self.words, self.out = nn.Embedding(4, 3), nn.Linear(5, 4)
        self.limit = limit

    def forward(self, x: Tensor) -> Any:
        def step(state: dict[str, Tensor]) -> Any:
            h = self.cell(self.words(state["word"]), state["h"])
            word = self.out(h).argmax(-1)
            return word, {"word": word, "h": h}

        begin = {"word": torch.zeros(x.size(1), dtype=torch.int64), "h": self.encoder(x)[1][0]}
        words, state = recur_until(step, begin, lambda state: state["word"] == 3, self.limit)
        return words, state["h"]


class Doubling(nn.Module):
    """Ends at another step for every sequence, and only then; read by a layer afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 3)

    def forward(self, x: Tensor) -> Any:
        ys, last = recur_until(lambda h: h * 2, x[0].abs() + 0.1, lambda h: h.sum(-1) > 40)
        return ys, last, self.gru(torch.cat([x, ys]))[0]


class InScan(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.again = nn.GRUCell(4, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Any:
        def step(h: Tensor, e: Tensor) -> Any:
            g = self.cell(e, h)
            ys, g = recur_until(lambda g: torch.tanh(self.again(g)), g, lambda g: g.abs().mean() < 0.2, 5)
            return g, ys.sum(0)

        return scan(step, x.new_zeros(x.size(1), 5), x)


def _steps(expected: Expected, output: str) -> int:
    assert expected.reference is not None
    return expected.reference.eager[output].shape[0]


@pytest.mark.parametrize(
    "model", [Decoder(), Decoder(1), Doubling(), InScan()], ids=["decoder", "once", "doubling", "in_scan"]
)
@pytest.mark.parametrize("opset", [17, 18, 24])
def test_recur_until_is_a_loop(model: nn.Module, opset: int, tmp_path: Path) -> None:
    given = translated(model, Signature({"x": "float32[T, N, 4]"}), CASES)
    proto = written(given, "auto", tmp_path / "model.onnx", opset)
    kinds = [node.op_type for node in proto.graph.node]
    assert kinds.count("Loop") == (0 if isinstance(model, InScan) else 1)
    if isinstance(model, Doubling):
        first = proto.graph.output[0].type.tensor_type.shape.dim[0]
        assert first.dim_param not in ("", "T", "N")
        lengths = {_steps(expected, given.signature.outputs[0]) for expected in given.expected}
        assert len(lengths) > 1


def test_the_stack_of_no_steps(tmp_path: Path) -> None:
    """A Loop may have no steps, where the operator is used by itself."""

    class Maybe(nn.Module):
        def forward(self, x: Tensor) -> Any:
            begin = (torch.zeros((), dtype=torch.int64), x[0])
            i, h, ys = COLLECTING_LOOP(lambda i, h: (i < 3, i + 1, h + 1, h * 2), x.mean() > 0, begin, ())
            return i, h, ys

    given = translated(Maybe(), Signature({"x": "float32[T, N, 4]"}), CASES)
    written(given, "auto", tmp_path / "model.onnx")
    assert {_steps(expected, given.signature.outputs[2]) for expected in given.expected} == {0, 4}


def test_no_node_of_our_own_is_left(tmp_path: Path) -> None:
    given = translated(Decoder(), Signature({"x": "float32[T, N, 4]"}), CASES)
    proto = written(given, "auto", tmp_path / "model.onnx")
    assert {entry.domain for entry in proto.opset_import} <= {"", "ai.onnx"}
    onnx.checker.check_model(proto, full_check=True)
