"""Capture: recurrence stays whole, sizes stay symbolic, the program still runs in PyTorch, nothing leaks."""

from __future__ import annotations

import pytest
import torch
from rnn_export import Signature
from rnn_export.capture.capture import capture
from rnn_export.capture.recurrent_layers import KeepRecurrentLayers
from torch import Tensor, nn

X = Signature({"x": "float32[T, N, 3]"})


def targets(model: nn.Module, signature: Signature = X, *tensors: Tensor) -> list[str]:
    example = dict(zip(signature.inputs, tensors or [torch.randn(7, 5, 3)], strict=True))
    program = capture(model.eval(), signature, example).program
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("options", [{}, {"num_layers": 3, "bidirectional": True, "batch_first": True}])
def test_a_layer_is_one_operator_and_the_program_runs(layer: type[nn.Module], options: dict[str, object]) -> None:
    model = layer(3, 4, **options).eval()
    signature = Signature({"x": "float32[N, T, 3]" if "batch_first" in options else "float32[T, N, 3]"})
    program = capture(model, signature, {"x": torch.randn(7, 5, 3)}).program
    assert sum("rnn_export" in str(node.target) for node in program.graph.nodes) == 1
    x = torch.randn(9, 2, 3)
    torch.testing.assert_close(program.module()(x), model(x))


def test_absent_states_are_left_out() -> None:
    assert targets(nn.GRU(3, 4)) == ["rnn_export.recurrent.default", "<built-in function getitem>"] * 1 + [
        "<built-in function getitem>"
    ]


def test_a_state_that_is_filled_after_it_was_made_is_kept() -> None:
    class Filled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            h0 = torch.zeros(1, x.size(1), 4)
            h0[0] = x[0, :, :1]
            return self.rnn(x, h0)[0]

    model = Filled().eval()
    x = torch.randn(7, 5, 3)
    program = capture(model, X, {"x": x}).program
    assert any(node.args[2] is not None for node in program.graph.nodes if "recurrent" in str(node.target))
    torch.testing.assert_close(program.module()(x), model(x))


@pytest.mark.parametrize("make", [lambda x: x.new_zeros(1, x.size(1), 4), lambda x: torch.full((1, x.size(1), 4), 0.0),
                                  lambda x: torch.zeros_like(x[:1, :, :1]).expand(-1, -1, 4),
                                  lambda x: torch.stack([torch.zeros(x.size(1), 4)])])  # fmt: skip
def test_zeros_however_made_are_left_out(make: object) -> None:
    class Zero(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.rnn(x, make(x))[0]  # type: ignore[operator]

    assert not [target for target in targets(Zero()) if "aten" in target]


def test_unbatched_input() -> None:
    signature = Signature({"x": "float32[T, 3]"})
    model = nn.LSTM(3, 4).eval()
    program = capture(model, signature, {"x": torch.randn(7, 3)}).program
    x = torch.randn(4, 3)
    torch.testing.assert_close(program.module()(x), model(x))


def test_a_subclass_is_captured_whole() -> None:
    class Mine(nn.LSTM):
        def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(x * 2)[0]

    assert "rnn_export.lstm.default" in targets(Mine(3, 4))


def test_the_mode_ends_with_its_block_also_on_an_error() -> None:
    model, x = nn.LSTM(3, 4), torch.randn(2, 1, 3)
    with pytest.raises(ZeroDivisionError), KeepRecurrentLayers():
        raise ZeroDivisionError
    assert "rnn_export" not in str(model(x)[0].grad_fn)
    assert model(x)[0].requires_grad


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
def test_a_projection_stays_whole() -> None:
    model = nn.LSTM(3, 4, 2, proj_size=2, bidirectional=True).eval()
    program = capture(model, X, {"x": torch.randn(7, 5, 3)}).program
    assert sum("rnn_export" in str(node.target) for node in program.graph.nodes) == 1
    x = torch.randn(9, 2, 3)
    torch.testing.assert_close(program.module()(x), model(x))
