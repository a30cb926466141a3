"""A loop over a long example is captured at few steps; a path that a model chooses by length is the example's."""

from __future__ import annotations

import torch
from rnn_export import Signature
from rnn_export.capture.capture import capture
from torch import Tensor, nn

X = Signature({"x": "float32[T, N, 3]"})
LONG = 400


# What `Loop` was run at.
LENGTHS: list[int] = []


class Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.RNNCell(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        LENGTHS.append(int(x.size(0)))
        h = torch.zeros(x.size(1), 4)
        for t in range(x.size(0)):
            h = self.cell(x[t], h)
        return h


class LoopsWhereShort(Loop):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.size(0) < LONG // 2 else x.sum(0)


def test_a_loop_is_captured_at_few_steps() -> None:
    LENGTHS.clear()
    model = Loop().eval()
    program = capture(model, X, {"x": torch.randn(LONG, 5, 3)}).program
    assert 0 < max(LENGTHS) < LONG
    assert torch.ops.rnn_export_flow.step.default in [node.target for node in program.graph.nodes]


def test_a_path_that_a_long_example_takes_is_the_one_that_is_captured() -> None:
    model = LoopsWhereShort().eval()
    captured = capture(model, X, {"x": torch.randn(LONG, 5, 3)})
    assert captured.bounds == {"T": {"min": LONG // 2}}
    x = torch.randn(LONG + 1, 2, 3)
    torch.testing.assert_close(captured.program.module(check_guards=False)(x), model(x))
