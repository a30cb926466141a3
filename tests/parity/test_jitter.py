"""Jitter: what moves, how far, and what stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from rnn_export.parity.jitter import Jitter
from torch import Tensor, nn
from torch.nn import functional

EPS = torch.finfo(torch.float32).eps


def moves(function: Callable[..., Tensor], *given: Tensor) -> Tensor:
    """How far a function's result moves, in ulps of 1."""
    with torch.no_grad():
        before = function(*(tensor.clone() for tensor in given))
        with Jitter(0):
            after = function(*(tensor.clone() for tensor in given))
    return (after.double() - before.double()).abs() / EPS


X = torch.rand(50, 64, generator=torch.Generator().manual_seed(0)) + 0.1
torch.manual_seed(0)
W = torch.randn(64, 64)

MOVED = {
    "linear": lambda x: functional.linear(x, W),
    "matmul": lambda x: x @ W,
    "einsum": lambda x: torch.matmul(x, W),
    "conv1d": lambda x: functional.conv1d(x[None], torch.randn(4, 50, 3, generator=torch.Generator().manual_seed(1))),
    "sum": lambda x: x + 0.3,
    "reversed difference": lambda x: 0.3 - x,
    "in place": lambda x: x.mul_(0.3),
    "tanh": torch.tanh,
    "method": lambda x: x.sigmoid(),
    "gelu": functional.gelu,
    "layer norm": lambda x: functional.layer_norm(x, [64]),
}


@pytest.mark.parametrize("function", MOVED.values(), ids=MOVED)
def test_results_move(function: Callable[..., Tensor]) -> None:
    assert 0 < float(moves(function, X).max()) < 2000


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_layers_move_within_their_recurrence(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    layer = kind(4, 8)
    # Of zero inputs nothing but the weights can move.
    steps = moves(lambda x: layer(x)[0], torch.zeros(40, 1, 4)).reshape(40, -1).max(dim=1).values
    assert float(steps[-1]) > 0


@pytest.mark.parametrize("cell", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_recurrent_cells_move(cell: type[nn.Module]) -> None:
    layer = cell(4, 8)
    assert float(moves(lambda x: layer(x[:, :4])[0], X).max()) > 0


def test_whole_numbers_stay() -> None:
    steps = torch.arange(20.0)
    assert float(moves(lambda x: x + 1, steps).max()) == 0
    assert float(moves(lambda x: torch.floor(x / 2 + 0.5), steps).max()) == 0
    assert torch.equal(Jitter(0).inputs([steps])[0], steps)
    assert not torch.equal(Jitter(0).inputs([X])[0], X)
    assert torch.equal(Jitter(0).inputs([torch.arange(3)])[0], torch.arange(3))


def test_what_is_changed_in_place_is_changed() -> None:
    total = X.clone()
    with Jitter(0):
        same = total
        total += X
    assert total is same
    assert float((total - 2 * X).abs().max()) < 4 * EPS


def test_it_is_reproducible() -> None:
    def once() -> Tensor:
        with Jitter(3):
            return X @ W

    assert torch.equal(once(), once())
