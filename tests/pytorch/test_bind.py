"""How named tensors become arguments: by name, in order, nested, keyword-only, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import pytest
import torch
from rnn_export import Signature, SignatureError, export_onnx, export_torchscript
from rnn_export.pytorch.bind import bind_inputs
from torch import Tensor, nn

Exporter = Callable[..., Any]


class State(NamedTuple):
    h: Tensor
    c: Tensor


@dataclass
class Batch:
    tokens: Tensor
    scale: Tensor | None = None


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4)
        self.embedding = nn.Embedding(10, 3)


class Many(Base):
    def forward(
        self, x: Tensor, lengths: Tensor | None = None, *, s: State | None = None, b: Batch | None = None, d: Any = None
    ) -> None: ...


class Open(Base):
    def forward(self, x: Tensor, first: Tensor | None = None, *rest: Tensor, **named: Tensor) -> None: ...


class Named(Base):
    def forward(self, *, tokens: Tensor, **named: Any) -> None: ...


@pytest.mark.parametrize(
    ("model", "names", "args", "kwargs"),
    [
        (nn.GRU(3, 4), "x", ("x",), {}),
        (nn.GRU(3, 4), "x h0", ("x", "h0"), {}),
        (nn.GRU(3, 4), "hx x", ("x", "hx"), {}),
        (nn.LSTM(3, 4), "x hx.0 hx.1", ("x", ("hx.0", "hx.1")), {}),
        (nn.LSTM(3, 4), "hx.1 hx.0 input", ("input", ("hx.0", "hx.1")), {}),
        (Many(), "x s.c s.h", ("x",), {"s": State("s.h", "s.c")}),  # type: ignore[arg-type]
        (Many(), "x s.0 s.1", ("x",), {"s": State("s.0", "s.1")}),  # type: ignore[arg-type]
        (Many(), "a b.tokens", ("a",), {"b": Batch("b.tokens")}),  # type: ignore[arg-type]
        (Many(), "x lengths d.q.0 d.q.1 d.r", ("x", "lengths"), {"d": {"q": ("d.q.0", "d.q.1"), "r": "d.r"}}),
        (Open(), "x y z", ("x", "y", "z"), {}),
        (Named(), "tokens mask", (), {"tokens": "tokens", "mask": "mask"}),
        (Named(), "tokens state.0", (), {"tokens": "tokens", "state": ("state.0",)}),
    ],
)
def test_each_input_finds_its_argument(model: nn.Module, names: str, args: Any, kwargs: Any) -> None:
    call = bind_inputs(model, names.split())
    assert call.arguments({name: name for name in names.split()}) == (args, kwargs)
    assert sorted(call.order()) == sorted(names.split())


@pytest.mark.parametrize(
    ("model", "names", "said"),
    [
        (nn.LSTM(3, 4), "x h0 c0", r"The 3 inputs \(x, h0, c0\) do not fit LSTM, whose forward takes \(input, hx\)."),
        (nn.LSTM(3, 4), "hx.0 hx.1", r"The 2 inputs \(hx.0, hx.1\) do not fit LSTM"),
        (nn.LSTM(3, 4), "x hx.0 hx.2", r"'hx' has the parts 0, 2. Number them from 0, without gaps."),
        (Many(), "x d.0 d.1.a d.1", "'d.1' has parts and cannot be an input itself."),
        (Many(), "x d d.c", r"'d' is an input and cannot have the part 'd.c'."),
        (Many(), "x s.hh s.c", r"'s.hh' is no part of State. Did you mean 'h'\? It has h, c."),
        (Many(), "x s.c", r"'s' lacks h. Describe 's.h' too."),
        (nn.GRU(3, 4), "ipnut", "has no argument 'ipnut'. Did you mean 'input'"),
        (nn.GRU(3, 4), "input xh", "has no argument 'xh'. Did you mean 'hx'"),
        (Many(), "lengths", r"The input \(lengths\) does not fit Many"),
    ],
)
def test_what_does_not_fit_is_refused(model: nn.Module, names: str, said: str) -> None:
    with pytest.raises(SignatureError, match=said):
        bind_inputs(model, names.split())


class Keywords(Base):
    """Arguments that are passed in another order than forward lists them, and some left out."""

    def forward(
        self, x: Tensor, scale: float = 2.0, h0: Tensor | None = None, *, c0: Tensor, shift: Tensor | None = None
    ) -> Any:
        h0 = torch.zeros_like(c0) if h0 is None else h0
        y, _ = self.rnn(x * scale, (h0, c0))
        return y if shift is None else y + shift


class Nested(Base):
    def forward(self, batch: dict[str, Tensor], state: State) -> Any:
        y, (h, c) = self.rnn(self.embedding(batch["tokens"]) * batch["scale"].unsqueeze(-1), (state.h, state.c))
        return {"y": y, "state": State(h, c)}


class Dataclass(Base):
    def forward(self, batch: Batch, *, states: list[State]) -> Any:
        x = self.embedding(batch.tokens)
        for state in states:
            x = x + self.rnn(x, (state.h, state.c))[0][..., :3]
        return x


torch.manual_seed(0)
STATE = "float32[1, N, 4]"
MODELS = [
    (Keywords(), {"x": "float32[T, N, 3]", "c0": STATE}, None),
    (Keywords(), {"shift": "float32[N, 4]", "c0": STATE, "x": "float32[T, N, 3]"}, None),
    (nn.LSTM(3, 4), {"x": "float32[T, N, 3]", "hx.0": STATE, "hx.1": STATE}, None),
    (nn.LSTM(3, 4), {"x": "float32[T, N, 3]", "hx.1": STATE, "hx.0": STATE}, {"hx.0": "h_n", "hx.1": "c_n"}),
    (
        Nested(),
        {
            "state.c": STATE,
            "batch.scale": "float32[T, N]",
            "batch.tokens": "int64[T, N] in 0..9",
            "state.h": STATE,
        },
        None,
    ),
    (
        Dataclass(),
        {"batch.tokens": "int64[T, N] in 0..9"} | {f"states.{i}.{part}": STATE for i in (0, 1) for part in ("h", "c")},
        None,
    ),
]


def test_a_bundle_with_parts_is_verified_from_the_command_line(cli: Exporter, tmp_path: Path) -> None:
    parts = [text for part in ("0", "1") for text in ("--input", f"hx.{part}: {STATE}")]
    sizes = ["--set", "input_size=3", "--set", "hidden_size=4"]
    made = cli("onnx", "--model", "torch.nn:LSTM", *sizes, "--input", "x: float32[T, N, 3]", *parts)
    assert made.exit_code == 0, made.output
    again = cli("verify", "artifacts/LSTM")
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize("export", [export_onnx, export_torchscript])
@pytest.mark.parametrize(("model", "inputs", "states"), MODELS)
def test_exported_and_right(export: Exporter, model: nn.Module, inputs: Any, states: Any, tmp_path: Path) -> None:
    exported = export(model, Signature(inputs, states=states), tmp_path / "out")
    assert exported.report.passed
    if export is export_onnx:
        graph = onnx.load(tmp_path / "out" / "model.onnx").graph
        assert [value.name for value in graph.input] == list(inputs)
