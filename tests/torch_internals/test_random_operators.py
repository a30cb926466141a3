"""PyTorch's operators are tagged where they draw random numbers, and their schemas say when they do not."""

from __future__ import annotations

import pytest
import torch
from rnn_export.pytorch.run import suppress_output
from rnn_export.torch_internals.random_operators import drawing_nodes, drawing_operators, draws
from torch import Tensor, nn

_aten = torch.ops.aten
X = torch.ones(2)


def test_operators_that_draw_are_tagged() -> None:
    names = {"rand", "randn", "rand_like", "randint", "randperm", "normal_", "uniform_", "bernoulli_", "multinomial"}
    assert {f"aten::{name}" for name in names} <= drawing_operators()


@pytest.mark.parametrize(
    ("target", "args", "drawn"),
    [
        (_aten.randn.default, ([2],), True),
        (_aten.randn.generator, ([2],), True),
        (_aten.native_dropout.default, (X, 0.5, True), True),
        (_aten.native_dropout.default, (X, 0.5, False), False),
        (_aten.native_dropout.default, (X, 0.0, True), False),
        (_aten.rrelu_with_noise.default, (X, X), False),
        (_aten._scaled_dot_product_flash_attention_for_cpu.default, (X, X, X), False),
        (_aten._scaled_dot_product_flash_attention_for_cpu.default, (X, X, X, 0.5), True),
        (_aten.add.Tensor, (X, X), False),
        (torch.relu, (X,), False),
    ],
)
def test_arguments_say_whether_it_draws(target: object, args: tuple[object, ...], drawn: bool) -> None:
    assert draws(target, args, {}) is drawn


def test_a_script_is_searched_in_its_branches() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.size(0) > 100:
                x = torch.rand_like(x)
            return nn.functional.dropout(x, 0.5, False)

    with suppress_output():
        graph = torch.jit.freeze(torch.jit.script(Branching().eval())).inlined_graph
    ((name, source),) = drawing_nodes(graph)
    assert name == "rand_like"
    assert "test_random_operators.py" in source
