"""Control flow operators run as Python: alike, seen by every mode, and ended where they never end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from rnn_export import LoadError
from rnn_export.parity.jitter import Jitter
from rnn_export.pytorch.control_flow import control_flow_in_python
from rnn_export.pytorch.randomness import RandomError, watching
from torch import Tensor
from torch._higher_order_ops.map import map as map_steps
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop

_X = torch.linspace(-1, 1, 12).reshape(4, 3)


def _scan(x: Tensor) -> Any:
    def step(carry: dict[str, Tensor], e: Tensor) -> Any:
        after = {"a": torch.tanh(carry["a"] + e), "b": carry["b"] * 2}
        return after, (e * 2, [after["a"].clone()])

    return scan(step, {"a": x.new_zeros(3), "b": x.new_ones(3)}, x)


def _while_loop(x: Tensor) -> Any:
    begin = (torch.zeros((), dtype=torch.int64), {"a": x})
    return while_loop(lambda i, d: i < 3, lambda i, d: (i + 1, {"a": torch.tanh(d["a"]) * 2}), begin)


def _cond(x: Tensor) -> Any:
    return torch.cond(x.sum() > 1, lambda x: {"a": x + 1}, lambda x: {"a": torch.tanh(x)}, (x,))


def _map(x: Tensor) -> Any:
    return map_steps(lambda e: {"a": torch.tanh(e), "b": [e + 1]}, x)


@pytest.mark.parametrize("function", [_scan, _while_loop, _cond, _map])
def test_the_same_as_in_pytorch(function: Callable[[Tensor], Any]) -> None:
    expected = function(_X)
    with control_flow_in_python():
        got = function(_X)
    assert torch.utils._pytree.tree_structure(got) == torch.utils._pytree.tree_structure(expected)
    leaves = zip(torch.utils._pytree.tree_leaves(got), torch.utils._pytree.tree_leaves(expected), strict=True)
    assert all(torch.equal(one, other) for one, other in leaves)


@pytest.mark.parametrize("function", [_scan, _while_loop, _cond, _map])
def test_modes_see_into_bodies(function: Callable[[Tensor], Any]) -> None:
    exact = torch.utils._pytree.tree_leaves(function(_X.double()))
    with control_flow_in_python(), torch.no_grad(), Jitter(0):
        moved = torch.utils._pytree.tree_leaves(function(_X.double()))
    assert not all(torch.equal(one, other) for one, other in zip(exact, moved, strict=True))


def test_a_body_compiles_what_it_calls() -> None:
    def body(x: Tensor) -> Tensor:
        @torch.compile(backend="eager", dynamic=True)
        def doubled(x: Tensor) -> Tensor:
            return x * 2

        return torch.compile(torch.tanh, backend="eager")(doubled(x))

    with control_flow_in_python():
        got = torch.cond(_X.sum() > 1, torch.sin, body, (_X,))
    assert torch.equal(got, torch.tanh(_X * 2))


def test_random_numbers_in_a_body_are_refused() -> None:
    with pytest.raises(RandomError, match="draws random numbers"), watching(), control_flow_in_python():
        while_loop(lambda i: i < 3, lambda i: (i + torch.rand(()),), (torch.zeros(()),))


def test_a_loop_that_does_not_end() -> None:
    remedy = "has not ended after 20,000 steps. Count its steps, and end it at a limit."
    with pytest.raises(LoadError, match=remedy), control_flow_in_python():
        while_loop(lambda x: ~(x > 3), lambda x: (x * 2,), (torch.tensor(float("nan")),))


def test_a_scan_of_no_steps() -> None:
    step = lambda h, e: [h + e, torch.stack([e, h])]  # noqa: E731
    with control_flow_in_python():
        h, ys = torch.ops.higher_order.scan(step, [torch.ones(3)], [_X[:0]], ())
    assert torch.equal(h, torch.ones(3))
    assert ys.shape == (0, 2, 3)
