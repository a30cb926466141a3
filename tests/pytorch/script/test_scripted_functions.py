"""A function of TorchScript that a Python model calls is captured as Python, its loops and sizes included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rnn_export import Signature, export_onnx
from rnn_export.pytorch.run import suppress_output
from rnn_export.pytorch.script.functions import functions_as_python, python_function
from torch import Tensor, nn


def step(x: Tensor, h: Tensor, weight: Tensor, times: int = 2) -> Tensor:
    if h.size(0) != x.size(0):
        h = h.expand(x.size(0), -1)
    return torch.tanh(x @ weight + h) * times / x.size(0)


def over_time(x: Tensor, weight: Tensor) -> Tensor:
    h = torch.zeros(1, weight.size(1))
    ys: list[Tensor] = []
    for t in range(x.size(0)):
        h = step(x[t], h, weight)
        ys.append(h)
    return torch.stack(ys)


with suppress_output():
    SCRIPTED = torch.jit.script(over_time)
    STEP = torch.jit.script(step)
    TRACED = torch.jit.trace(lambda x: x * torch.tensor([1.0, 2, 3, 4]) / x.shape[0], torch.randn(5, 2, 4))


class Calling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return SCRIPTED(x, self.weight) + TRACED(x)


def test_it_is_exported_with_its_loop(tmp_path: Path) -> None:
    exported = export_onnx(Calling(), Signature({"x": "float32[T, N, 4]"}), tmp_path / "out")
    assert exported.report is not None
    assert exported.report.passed


@pytest.mark.parametrize("given", [(), (5,)])
def test_defaults_are_kept(given: tuple[int, ...]) -> None:
    x, h, weight = torch.randn(3, 4), torch.randn(1, 4), torch.randn(4, 4)
    assert torch.equal(python_function(STEP)(x, h, weight, *given), STEP(x, h, weight, *given))


def test_calls_are_as_they_were_afterwards() -> None:
    before = torch.jit.ScriptFunction.__call__
    with functions_as_python():
        assert torch.jit.ScriptFunction.__call__ is not before
    assert torch.jit.ScriptFunction.__call__ is before
