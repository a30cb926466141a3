"""Control flow operators of PyTorch as users write them: any function as a body, nested in any way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.map import map as map_steps
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop

CASES = [
    Case({"T": 7, "N": 3}, "ordinary", 0),
    Case({"T": 1, "N": 1}, "ordinary", 1),
    Case({"T": 2, "N": 4}, "ordinary", 2),
    Case({"T": 23, "N": 1}, "ordinary", 3),
    Case({"T": 4, "N": 2}, "zero", 4),
]


class Parts(nn.Module):
    """Layers that bodies read from around them."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.gru, self.lstm = nn.GRUCell(4, 5), nn.GRU(4, 5), nn.LSTM(4, 5)
        self.first, self.again, self.out = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 4)
        self.register_buffer("scale", torch.rand(5))
        self.plain = torch.randn(5)

    def begin(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.size(1), 5)


def _zero() -> Tensor:
    return torch.zeros((), dtype=torch.int64)


class Scanned(Parts):
    """Every kind of tensor from outside: parameters, a buffer, a plain attribute, lists, sizes."""

    def forward(self, x: Tensor) -> Any:
        known = torch.tensor([1.0, 0.5, 0.25, 2.0, 3.0])
        steps = x.size(0) * 2

        def step(h: Tensor, e: Tensor) -> Any:
            h = self.cell(e, h) * known + self.scale * self.plain + torch.tensor([1, 2, 3.0, 4, 5]) / steps
            return torch.tanh(h), self.out(h) * torch.tensor(np.eye(4, dtype=np.float32)[1])

        return scan(step, self.begin(x), x)


class Reversed(Parts):
    def forward(self, x: Tensor) -> Any:
        def step(h: Tensor, e: Tensor) -> Any:
            h = self.cell(e, h)
            return h, h.clone()

        return scan(step, self.begin(x), x.transpose(0, 1), dim=1, reverse=True)


class Forms(Parts):
    """Carries and outputs nested, one of them whole numbers, another truth values."""

    def forward(self, x: Tensor) -> Any:
        def step(carry: dict[str, Any], e: Tensor) -> Any:
            h, done = carry["h"], carry["done"]
            h = torch.where(done[:, None], h, self.cell(e, h))
            carry = {"h": h, "done": done | (h.sum(1) > 0.5), "count": carry["count"] + 1}
            return carry, [h, (carry["done"],)]

        begin = {"h": self.begin(x), "done": torch.zeros(x.size(1), dtype=torch.bool), "count": _zero()}
        carry, (hs, (done,)) = scan(step, begin, x)
        return hs, done, carry["count"]


class Aliases(Parts):
    """One initial tensor twice, a carry that is passed on, and one that is laid out in another way."""

    def forward(self, x: Tensor) -> Any:
        begin = self.begin(x).t().contiguous().t()

        def step(carry: tuple[Tensor, Tensor], e: Tensor) -> Any:
            h, before = carry
            return (self.cell(e, h), h), before

        return scan(step, (begin, begin), x)


class Layers(Parts):
    """Recurrent layers in the body of a scan, of a loop and of a decision."""

    def forward(self, x: Tensor) -> Any:
        def step(h: Tensor, e: Tensor) -> Any:
            h = self.gru((e + self.out(h))[None].expand(3, -1, -1), h[None])[1][0]
            return h, h

        y = scan(step, self.begin(x), x)[1]
        _, h = while_loop(
            lambda i, h: i < 3, lambda i, h: (i + 1, self.lstm(x, (h, h * 0.5))[1][0]), (_zero(), y[-1:].clone())
        )
        return y, torch.cond(y.sum() > 0, lambda: self.gru(x, h)[0], lambda: self.lstm(x, (h, h))[0] * 2, ())


class Nested(Parts):
    """A scan, in it a loop that a value ends, in it a decision; each reads what is around all of them."""

    def forward(self, x: Tensor) -> Any:
        bias = self.first(x).mean(0)

        def step(h: Tensor, e: Tensor) -> Any:
            offset = self.out(h)

            def going(i: Tensor, g: Tensor) -> Tensor:
                return (i < 3) & (g.mean() < bias.mean() + 1)

            def body(i: Tensor, g: Tensor) -> Any:
                w = self.cell(e + offset, g)
                yes, no = (lambda: torch.tanh(self.again(w) + bias + g)), (lambda: w - g * offset.mean())
                return i + 1, torch.cond(w.mean() > 0, yes, no, ())

            i, g = while_loop(going, body, (_zero(), h))
            return g, (g + bias, i)

        return scan(step, self.begin(x), x)


class Inside(Parts):
    """A scan in a loop, and one loop in another."""

    def forward(self, x: Tensor) -> Any:
        def step(h: Tensor, e: Tensor) -> Any:
            h = self.cell(e, h)
            return h, h

        def body(i: Tensor, h: Tensor, going: Tensor) -> Any:
            h, ys = scan(step, h, x)
            _, h = while_loop(lambda k, h: k < i, lambda k, h: (k + 1, torch.tanh(self.again(h))), (_zero(), h))
            return i + 1, h, ys.mean() < 0.5

        return while_loop(lambda i, h, going: going & (i < 3), body, (_zero(), self.begin(x), x.new_ones(()) > 0))[:2]


class Decided(Parts):
    """Decisions on a value and on a size."""

    def forward(self, x: Tensor) -> Any:
        y = torch.cond(x.sum() > 0, lambda x: self.first(x).tanh(), lambda x: self.first(x) * 2, (x,))
        return torch.cond(x.size(0) > 3, lambda y: y * 2, lambda y: y + 1, (y,))


class Prefixes(Parts):
    def forward(self, x: Tensor) -> Any:
        gate, value = torch.sigmoid(self.first(x)), torch.tanh(self.first(x))

        def combine(one: Any, other: Any) -> Any:
            return one[0] * other[0], other[0] * one[1] + other[1]

        sums = associative_scan(lambda a, b: a + b, x.transpose(0, 1), 1, reverse=True, combine_mode="generic")
        return associative_scan(combine, (gate, value), 0, combine_mode="generic")[1], sums


class Mapped(Parts):
    def forward(self, x: Tensor) -> Any:
        made = map_steps(lambda e, w: {"a": torch.tanh(e[0] @ w), "b": [e[1] + 1]}, (x, x * 2), self.first.weight.t())
        return made["a"], made["b"][0]


MODELS: dict[type[Parts], dict[str, int]] = {
    Scanned: {"Scan": 1},
    Reversed: {"Scan": 1},
    Forms: {"Scan": 1},
    Aliases: {"Scan": 1},
    Layers: {"Scan": 1, "Loop": 1, "If": 1, "GRU": 2, "LSTM": 2},
    Nested: {"Scan": 1, "Loop": 1, "If": 1},
    Inside: {"Scan": 1, "Loop": 2},
    Decided: {"If": 2},
    Prefixes: {"Scan": 2, "If": 2},
    Mapped: {"Scan": 1},
}


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_operators_that_a_user_writes(kind: Callable[[], Parts], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = written(translated(kind(), Signature({"x": "float32[T, N, 4]"}), CASES), "auto", tmp_path / "model.onnx")
    expected = MODELS[kind]  # type: ignore[index]
    found = Counter(node.op_type for node in _nodes(model.graph))
    assert {name: found[name] for name in ("Scan", "Loop", "If", "GRU", "LSTM") if found[name]} == expected


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g)
