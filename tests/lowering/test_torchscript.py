"""TorchScript: scripted, traced, frozen; a trace that baked in a size is found out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from rnn_export import CaptureError, ParityError, Signature, export_torchscript
from rnn_export.runtimes.torchscript import read_torchscript
from torch import Tensor, nn

X = Signature({"x": "float32[T, N, 3]"})


class Loop(nn.Module):
    """A loop over time; a trace of it holds as many steps as the example had."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.size(1), 4)
        for step in x:
            h = self.cell(step, h)
        return h


class Untyped(nn.Module):
    """Cannot be scripted: generator expressions are not TorchScript."""

    def forward(self, x: Tensor) -> Tensor:
        return sum(part for part in (x, x))


def test_auto_scripts(tmp_path: Path) -> None:
    exported = export_torchscript(Loop(), X, tmp_path / "out")
    assert exported.report.passed
    assert exported.notes == ()
    assert not list(read_torchscript(tmp_path / "out" / "model.pt").parameters())


def test_auto_traces_what_cannot_be_scripted_and_says_so(tmp_path: Path) -> None:
    exported = export_torchscript(Untyped(), X, tmp_path / "out")
    assert exported.report.passed
    assert exported.notes[0].startswith("Traced, not scripted. TorchScript cannot compile the model (")
    with pytest.raises(CaptureError, match='Trace it instead \\(`method="trace"`\\)'):
        export_torchscript(Untyped(), X, tmp_path / "other", method="script")


def test_a_trace_that_baked_in_a_size_is_reported_as_that(tmp_path: Path) -> None:
    with pytest.raises(ParityError) as error:
        export_torchscript(Loop(), X, tmp_path / "out", method="trace")
    assert "It is right only at T=7: the capture baked that size in." in str(error.value)
    assert not (tmp_path / "out").exists()


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.size(0) > 50 else x


class Optional(nn.Module):
    """Scripts, but cannot be saved: an undefined tensor is frozen into it."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, x, h0=None):
        y, h = self.rnn(x, h0)
        return y, h


class Guarded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0 if bool(x.min() < -1e6) else x


def test_a_decision_that_a_trace_fixed_is_named(tmp_path: Path) -> None:
    exported = export_torchscript(Guarded(), X, tmp_path / "out", method="trace")
    assert exported.report.passed
    assert re.search(
        r"Tracing fixed a decision that depends on values, at .*test_torchscript.py:\d+", exported.notes[0]
    )


def test_a_size_that_is_not_baked_is_not_blamed(tmp_path: Path) -> None:
    with pytest.raises(ParityError) as error:
        export_torchscript(Branch(), X, tmp_path / "out", method="trace")
    assert "baked" not in str(error.value)


@pytest.mark.parametrize("model", [nn.GRU(3, 4), nn.LSTM(3, 4), Optional()])
def test_what_cannot_be_frozen_or_saved_is_traced(model: nn.Module, tmp_path: Path) -> None:
    exported = export_torchscript(model, X, tmp_path / "out")
    assert exported.report.passed
    assert exported.notes[0].startswith("Traced, not scripted.")


def test_a_model_that_cannot_be_traced(tmp_path: Path) -> None:
    class Strings(nn.Module):
        def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
            if torch.jit.is_tracing():
                raise RuntimeError("not while tracing")
            return x

    with pytest.raises(CaptureError, match="TorchScript cannot trace the model \\(not while tracing\\)"):
        export_torchscript(Strings(), X, tmp_path / "out", method="trace")


def test_a_model_that_can_neither_be_scripted_nor_traced(tmp_path: Path) -> None:
    class Neither(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if torch.jit.is_tracing():
                raise RuntimeError("not while tracing")
            return sum(part for part in (x, x))

    with pytest.raises(CaptureError, match="neither compile nor trace the model \\(.*; not while tracing\\)"):
        export_torchscript(Neither(), X, tmp_path / "out")
