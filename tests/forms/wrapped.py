"""Models and parts that are already wrapped: by torch.compile, DataParallel, TorchScript."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from .form import TIME_FIRST, X, form


class Plain(nn.Module):
    def __init__(self, rnn: nn.Module | None = None, head: nn.Module | None = None) -> None:
        super().__init__()
        self.rnn: Any = nn.LSTM(3, 4) if rnn is None else rnn
        self.head: Any = nn.Linear(4, 2) if head is None else head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0])


class LastLayer(nn.Module):
    """A layer of layers, as it may be scripted: nn.LSTM on its own cannot be called once it is."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, 2, bidirectional=True)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, (h, _) = self.lstm(x)
        return self.fc(y), h


@form(TIME_FIRST)
def compiled() -> nn.Module:
    return torch.compile(Plain())  # type: ignore[return-value]


@form(TIME_FIRST)
def compiled_in_place() -> nn.Module:
    model = Plain()
    model.compile()
    return model


@form(TIME_FIRST)
def compiled_part() -> nn.Module:
    return Plain(torch.compile(nn.LSTM(3, 4)))  # type: ignore[arg-type]


@form(TIME_FIRST)
def compiled_head() -> nn.Module:
    return Plain(head=torch.compile(nn.Sequential(nn.Linear(4, 2), nn.Tanh())))  # type: ignore[arg-type]


@form(TIME_FIRST)
def compiled_method() -> nn.Module:
    class CompiledMethod(Plain):
        @torch.compile
        def body(self, x: Tensor) -> Tensor:
            return self.head(torch.tanh(self.rnn(x)[0]))

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x)

    return CompiledMethod()


@form(TIME_FIRST)
def parallel() -> nn.Module:
    return nn.DataParallel(Plain())


@form(TIME_FIRST)
def parallel_part() -> nn.Module:
    return Plain(nn.DataParallel(nn.LSTM(3, 4)))


@form(TIME_FIRST)
def scripted_part() -> nn.Module:
    return Plain(torch.jit.script(LastLayer()))


@form(TIME_FIRST)
def scripted_head() -> nn.Module:
    return Plain(head=torch.jit.script(nn.Sequential(nn.Linear(4, 2), nn.Tanh())))


@form(TIME_FIRST)
def scripted() -> nn.Module:
    return torch.jit.script(Plain().eval())


@form(TIME_FIRST)
def scripted_and_loaded() -> nn.Module:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(Plain(LastLayer())), buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


@form(TIME_FIRST)
def traced() -> nn.Module:
    with warnings.catch_warnings(action="ignore"):
        return torch.jit.trace(Plain(LastLayer()).eval(), torch.ones(5, 2, 3))


def activation(x: Tensor, scale: float) -> Tensor:
    if scale > 1:
        return torch.tanh(x) * scale
    return torch.relu(x)


@form(X)
class ScriptedFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)
        self.activation = torch.jit.script(activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.rnn(x)[0], 2.0)
